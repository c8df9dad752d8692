/**
 * Builds the demo's world: the emulated AWS, the mock hypervisor and the parent, each a process of its own.
 *
 * This process plays the owners, the client and the attackers. It holds no key of the enclave, of NSM or of KMS.
 *
 * @module
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:https";
import { join } from "node:path";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { buildAppImage, mockEntry } from "../../image/index.ts";
import { type Hypervisor, startHypervisor } from "../../mock/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { TransportError } from "../../shared/errors/index.ts";
import type { ImageRegisters } from "../../shared/policy/key-policy.ts";
import { type Address, addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { type ControlledProcess, startControlled } from "../../transport/control.ts";
import { createTransport } from "../../transport/index.ts";
import { ENCLAVE_ROLE, INSTANCE_ID, OPERATOR_ACCOUNT, OWNERS, type RoleName, type Session } from "./cast.ts";
import { type Impostor, startImpostor } from "./impostor.ts";
import { castAccounts, MAIN_CID, makeFolder, parentOptions, sessionOf } from "./setup.ts";

/** An image on disk and what it measures. */
export interface BuiltImage {
  readonly path: string;
  readonly registers: ImageRegisters;
}

const READY_TIMEOUT_MS = 10_000;

/** A story that is broken off may still write a file while its folder goes. */
const REMOVAL = { recursive: true, force: true, maxRetries: 10 } as const;

export class World implements AsyncDisposable {
  readonly aws: ControlledProcess;
  readonly hypervisor: Hypervisor;
  readonly parent: ControlledProcess;
  readonly impostor: Impostor;
  readonly captureFile: string;
  readonly folder: string;
  readonly tlsRoot: string;
  /** Where clients reach the enclave, through the parent. */
  readonly ingress: Address;
  readonly #sessions: ReadonlyMap<string, Session>;
  readonly #agent: Agent;
  readonly #awsPort: number;
  #nextCid = MAIN_CID;
  #disposing: Promise<void> | undefined;

  private constructor(parts: WorldParts) {
    this.aws = parts.aws;
    this.hypervisor = parts.hypervisor;
    this.parent = parts.parent;
    this.impostor = parts.impostor;
    this.folder = parts.folder;
    this.captureFile = parts.captureFile;
    this.tlsRoot = parts.tlsRoot;
    this.ingress = { kind: "tcp", host: "127.0.0.1", port: parts.ingressPort };
    this.#sessions = parts.sessions;
    this.#awsPort = parts.awsPort;
    this.#agent = new Agent({ ca: parts.tlsRoot, keepAlive: true });
  }

  static async start(): Promise<World> {
    const folder = await makeFolder();
    const vsock = join(folder, "v");
    await mkdir(join(vsock, "3"), { recursive: true, mode: 0o700 });
    const started: AsyncDisposable[] = [{ [Symbol.asyncDispose]: () => rm(folder, REMOVAL) }];
    const keep = <Part extends AsyncDisposable>(part: Part): Part => {
      started.unshift(part);
      return part;
    };
    try {
      const aws = keep(startControlled(new URL("../../mock/aws/process.js", import.meta.url)));
      const parent = keep(startControlled(new URL("../../parent/process.js", import.meta.url)));
      const impostor = keep(await startImpostor());
      const hypervisor = keep(await startHypervisor({ vsock, instanceId: INSTANCE_ID, parentRoleArn: ENCLAVE_ROLE }));
      const { accounts, sessions } = castAccounts();
      const regions = OWNERS.map(({ region }) => region);
      const options = { accounts, regions, attestationRoots: [toBase64(hypervisor.rootCertificate)] };
      const { port: awsPort, caCertificatePem } = await aws.call<AwsStarted>("start", { options });
      const captureFile = join(folder, "parent-saw.bin");
      const session = sessionOf(sessions, OPERATOR_ACCOUNT, "enclave-host");
      const setup = parentOptions({ vsock, awsPort, impostorPort: impostor.port, captureFile, session });
      const { ingress: ingressPort } = await parent.call<{ ingress: number }>("start", setup);
      const parts = { aws, hypervisor, parent, impostor, folder, captureFile, sessions };
      return new World({ ...parts, tlsRoot: caCertificatePem, awsPort, ingressPort });
    } catch (error) {
      for (const part of started) await part[Symbol.asyncDispose]();
      throw error;
    }
  }

  session(accountId: string, role: RoleName): Session {
    return sessionOf(this.#sessions, accountId, role);
  }

  /** The unmodified AWS SDK, without attestation: what owners use, and what an attacker with credentials has. */
  kms(accountId: string, role: RoleName, region: string): KMS {
    return new KMS({
      region,
      endpoint: `https://127.0.0.1:${this.#awsPort}`,
      credentials: this.session(accountId, role),
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({ httpsAgent: this.#agent }),
    });
  }

  /** Builds an image from an application bundle of this package, its bytes as `edit` leaves them. */
  async build(
    name: string,
    bundle: URL,
    config: object,
    edit = (app: Uint8Array): Uint8Array => app,
  ): Promise<BuiltImage> {
    const main = mockEntry({
      attestationRoots: [this.hypervisor.rootCertificate],
      tlsRoots: [this.tlsRoot],
      config,
    });
    const app = edit(new Uint8Array(await readFile(bundle)));
    const files = new Map([
      ["main.mjs", main],
      ["app.mjs", app],
    ]);
    const { eif, measurements } = await buildAppImage({ files, platform: "mock", name });
    const path = join(this.folder, `${name}.eif`);
    await writeFile(path, eif);
    const { pcr0, pcr1, pcr2 } = measurements;
    return { path, registers: { pcr0: toHex(pcr0), pcr1: toHex(pcr1), pcr2: toHex(pcr2) } };
  }

  /** Runs an image and waits until its application answers. The first one is the enclave behind the parent's ingress. */
  async run(eifPath: string, { debug = false }: { readonly debug?: boolean } = {}): Promise<RunningEnclave> {
    const cid = this.#nextCid++;
    const { enclaveId, pcrs } = await this.hypervisor.run({ eifPath, cid, debug });
    const address = addressOf({ kind: "unix", folder: join(this.folder, "v", String(cid)) }, APP_PORT);
    await waitFor(address);
    return { enclaveId, pcrs, address };
  }

  /** Ends the processes and removes the folder; a second call waits for the first. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  async #dispose(): Promise<void> {
    this.#agent.destroy();
    await this.hypervisor.close();
    await Promise.all([this.parent.close(), this.aws.close(), this.impostor[Symbol.asyncDispose]()]);
    await rm(this.folder, REMOVAL);
  }
}

export interface RunningEnclave {
  readonly enclaveId: string;
  readonly pcrs: Readonly<Record<0 | 1 | 2, string>>;
  /** The enclave itself, as a process of the parent instance can dial it. */
  readonly address: Address;
}

interface AwsStarted {
  readonly port: number;
  readonly caCertificatePem: string;
}

interface WorldParts {
  readonly aws: ControlledProcess;
  readonly hypervisor: Hypervisor;
  readonly parent: ControlledProcess;
  readonly impostor: Impostor;
  readonly folder: string;
  readonly captureFile: string;
  readonly sessions: ReadonlyMap<string, Session>;
  readonly tlsRoot: string;
  readonly awsPort: number;
  readonly ingressPort: number;
}

async function waitFor(address: Address): Promise<void> {
  const transport = createTransport();
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      (await transport.connect(address, { timeoutMs: 1_000 })).destroy();
      return;
    } catch (error) {
      if (!(error instanceof TransportError) || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
