/**
 * What the benchmarks verify: the genuine documents where the reference vectors are at hand, else documents of the mock.
 *
 * Each comes with the policy that it satisfies by itself and the moment to judge it at.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createMockNsm } from "../mock/testing.ts";
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  dangerouslyTrustRoot,
  type ImageMeasurements,
} from "../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../shared/attestation/inspect.ts";

export interface BenchDocument {
  readonly bytes: Uint8Array;
  readonly base64: string;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly policy: AttestationPolicy;
  /** Its own timestamp. */
  readonly at: Date;
}

export interface DocumentSet {
  readonly origin: string;
  readonly documents: readonly BenchDocument[];
}

const folder = process.env["CLOISTER_VECTORS"] ?? fileURLToPath(new URL("../../../shared/vectors", import.meta.url));

export async function loadDocuments(): Promise<DocumentSet> {
  return existsSync(`${folder}/index.json`) ? genuineDocuments() : mockDocuments();
}

function genuineDocuments(): DocumentSet {
  const index = JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as { attestation: { file: string }[] };
  const documents = index.attestation.map(({ file }) =>
    describe(new Uint8Array(readFileSync(`${folder}/${file}`)), { roots: [AWS_NITRO_ROOT_G1] }),
  );
  return { origin: "genuine documents, each at its own time", documents };
}

async function mockDocuments(): Promise<DocumentSet> {
  const register = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
  const measurements = { pcr0: register(1), pcr1: register(2), pcr2: register(3) };
  const { device, rootCertificate } = await createMockNsm({ measurements });
  const documents: BenchDocument[] = [];
  for (let made = 0; made < 16; made++) {
    const bytes = await device.attest({ nonce: new Uint8Array(32).fill(made) });
    documents.push(describe(bytes, { roots: [dangerouslyTrustRoot(rootCertificate)] }));
  }
  await device.close();
  return { origin: "documents of the mock", documents };
}

/** The same with one bit of its signature flipped. */
export function damaged(document: BenchDocument): BenchDocument {
  const last = document.bytes.length - 1;
  const bytes = document.bytes.map((byte, index) => (index === last ? byte ^ 1 : byte));
  return { ...document, bytes, base64: Buffer.from(bytes).toString("base64") };
}

function describe(bytes: Uint8Array, { roots }: Pick<AttestationPolicy, "roots">): BenchDocument {
  const { kind, pcrs, timestamp, nonce } = decodeAttestationUnverified(bytes);
  const isDebug = [0, 1, 2].some((index) => pcrs.get(index)?.every((byte) => byte === 0));
  const policy: AttestationPolicy = {
    kind,
    roots,
    images: [Object.fromEntries(pcrs) as ImageMeasurements],
    nonce: nonce && nonce.length >= 16 ? nonce : "unchecked",
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
    ...(isDebug && { dangerouslyAllowDebug: true as const }),
  };
  return { bytes, base64: Buffer.from(bytes).toString("base64"), pcrs, policy, at: timestamp };
}
