/**
 * What a user would pick instead, asked the same question: is this document genuine, with these registers, at its own time?
 *
 * Peers are no dependencies of this project. `make bench-peers` installs them in a cache folder; one that does not load is
 * left out by name. Each is asked through its public API, with what it needs prepared outside the measurement.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { toHex } from "../shared/bytes.ts";
import type { BenchDocument } from "./documents.ts";

export interface Peer {
  readonly name: string;
  /** Whose clock it judges by, and what was done about that. */
  readonly clock: string;
  accepts(document: BenchDocument): Promise<boolean>;
}

export async function loadPeers(folder: string): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const [name, load] of LOADERS) {
    try {
      peers.push({ name: `${name} ${versionOf(folder, name)}`, ...(await load(folder)) });
    } catch (error) {
      console.error(`bench: ${name} is left out: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  return peers;
}

function versionOf(folder: string, name: string): string {
  const manifest = readFileSync(join(folder, "node_modules", name, "package.json"), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function resolve(folder: string, name: string): string {
  return createRequire(join(folder, "package.json")).resolve(name);
}

const LOADERS: readonly (readonly [string, (folder: string) => Promise<Omit<Peer, "name">>])[] = [
  ["@evervault/wasm-attestation-bindings", loadEvervaultWasm],
  ["@evervault/attestation-bindings", loadEvervaultNative],
  ["@0xsequence/tee-verifier", loadSequence],
];

interface EvervaultWasm {
  readonly PCRs: new (pcr0?: string, pcr1?: string, pcr2?: string) => unknown;
  initSync(wasm: { readonly module: Uint8Array }): unknown;
  validateAttestationDocPcrs(base64: string, registers: readonly unknown[]): boolean;
}

/** Judges by `Date.now()`, which is set to the document's time for the call, and logs refusals. */
async function loadEvervaultWasm(folder: string): Promise<Omit<Peer, "name">> {
  const path = resolve(folder, "@evervault/wasm-attestation-bindings");
  const module = (await import(pathToFileURL(path).href)) as EvervaultWasm;
  module.initSync({ module: readFileSync(join(path, "../index_bg.wasm")) });
  const accepts = async ({ base64, pcrs, at }: BenchDocument): Promise<boolean> => {
    const [pcr0, pcr1, pcr2] = [0, 1, 2].map((index) => toHex(pcrs.get(index) ?? new Uint8Array(48)));
    const registers = [new module.PCRs(pcr0, pcr1, pcr2)];
    const { now } = Date;
    Date.now = () => at.getTime();
    try {
      return silently(() => module.validateAttestationDocPcrs(base64, registers));
    } finally {
      Date.now = now;
    }
  };
  return { clock: "the system's; Date.now was set to the document's time", accepts };
}

/** Loaded to see that it does. Its one function wants the TLS certificate that a document was made for. */
async function loadEvervaultNative(folder: string): Promise<never> {
  const module = createRequire(join(folder, "package.json"))("@evervault/attestation-bindings") as object;
  const functions = Object.keys(module).join(", ");
  throw new Error(`it loads; ${functions} judges by the system's clock, with the TLS certificate the document is for`);
}

interface Sequence {
  readonly SignedAttestation: { fromDocument(base64: string): SequenceAttestation };
}

interface SequenceAttestation {
  readonly pcrs: ReadonlyMap<number, string>;
  verifyRootOfTrust(checkDate: Date): Promise<boolean>;
  rootCertFingerprint(): Promise<string>;
  verifySignature(): Promise<boolean>;
}

/** What its fetch wrapper checks, in that order; the nonce, which the wrapper makes itself, and HTTP aside. */
async function loadSequence(folder: string): Promise<Omit<Peer, "name">> {
  // Before it is imported: its library looks for its engine in there.
  Object.assign(globalThis, { window: globalThis });
  const path = resolve(folder, "@0xsequence/tee-verifier");
  const { SignedAttestation } = (await import(pathToFileURL(path).href)) as Sequence;
  const root = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
  const accepts = async ({ base64, pcrs, at }: BenchDocument): Promise<boolean> => {
    try {
      const attestation = SignedAttestation.fromDocument(base64);
      for (const [index, register] of pcrs) if (attestation.pcrs.get(index) !== toHex(register)) return false;
      if (!(await attestation.verifyRootOfTrust(at))) return false;
      if ((await attestation.rootCertFingerprint()) !== root) return false;
      return await attestation.verifySignature();
    } catch {
      return false;
    }
  };
  return { clock: "an argument; `window` was provided", accepts };
}

/** A peer's own log would stand in the table. */
function silently<Result>(run: () => Result): Result {
  const { log, error } = console;
  Object.assign(console, { log: () => undefined, error: () => undefined });
  try {
    return run();
  } catch {
    return false as Result;
  } finally {
    Object.assign(console, { log, error });
  }
}
