/**
 * The demo's cast on an emulated instance: the emulated AWS and the owners on the host, the parent in its guest at
 * context id 3, the enclave in its own.
 *
 *   client ─tcp─ host ─unix─ parent guest ─AF_VSOCK─ enclave        in
 *   enclave ─AF_VSOCK─ parent guest ─AF_VSOCK─ host ─tcp─ mock AWS  out
 *
 * @module
 */
import { once } from "node:events";
import { Agent } from "node:https";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { type Duplex, pipeline } from "node:stream";
import { fileURLToPath } from "node:url";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { ENCLAVE_ROLE, INSTANCE_ID, OPERATOR_ACCOUNT, OWNERS, type RoleName } from "../../cli/demo/cast.ts";
import { castAccounts, parentOptions, sessionOf } from "../../cli/demo/setup.ts";
import type { Guest } from "../../mock/emulator/guest.ts";
import { EmulatedInstance } from "../../mock/emulator/instance.ts";
import { AGENT_PORT, ANY_CID, PARENT_CID } from "../../mock/emulator/ports.ts";
import type { Address } from "../../shared/transport/address.ts";
import { ControlClient, type ControlledProcess, startControlled } from "../../transport/control.ts";
import { createTransport } from "../../transport/index.ts";
import { emulator } from "./emulator.ts";
import { bundle, parentImage } from "./images.ts";

export const ENCLAVE_CID = 4;
const INGRESS_PORT = 8443;

interface Parts {
  readonly instance: EmulatedInstance;
  readonly aws: ControlledProcess;
  readonly awsPort: number;
  readonly tlsRoot: string;
  readonly sessions: ReturnType<typeof castAccounts>["sessions"];
  readonly parent: ControlClient;
  readonly parentGuest: Guest;
  readonly ingress: Server;
  readonly closing: readonly AsyncDisposable[];
}

export class EmulatedWorld implements AsyncDisposable {
  readonly instance: EmulatedInstance;
  readonly tlsRoot: string;
  readonly parent: ControlClient;
  readonly parentGuest: Guest;
  /** Where a client on the host connects. */
  readonly ingress: Address;
  readonly #parts: Parts;
  readonly #agent: Agent;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.instance = parts.instance;
    this.tlsRoot = parts.tlsRoot;
    this.parent = parts.parent;
    this.parentGuest = parts.parentGuest;
    this.ingress = { kind: "tcp", host: "127.0.0.1", port: (parts.ingress.address() as AddressInfo).port };
    this.#agent = new Agent({ ca: parts.tlsRoot, keepAlive: true });
  }

  static async start(folder: string): Promise<EmulatedWorld> {
    const transport = createTransport();
    const identity = { instanceId: INSTANCE_ID, parentRoleArn: ENCLAVE_ROLE };
    const instance = await EmulatedInstance.start({ files: emulator, folder, cids: [ENCLAVE_CID], ...identity });
    const aws = startControlled(
      new URL(`file://${fileURLToPath(new URL("../../dist/mock/aws/process.js", import.meta.url))}`),
    );
    const closing: AsyncDisposable[] = [instance, aws];
    try {
      const { accounts, sessions } = castAccounts();
      const { port: awsPort, caCertificatePem: tlsRoot } = await aws.call<{ port: number; caCertificatePem: string }>(
        "start",
        {
          options: {
            accounts,
            regions: OWNERS.map(({ region }) => region),
            attestationRoots: [Buffer.from(instance.rootCertificate).toString("base64")],
          },
        },
      );
      const host = (port: number): Address => ({ kind: "hybrid", path: join(folder, `${PARENT_CID}.vsock`), port });
      closing.push(
        await transport.listen(host(awsPort), (socket) =>
          joinStreams(socket, connect({ host: "127.0.0.1", port: awsPort, allowHalfOpen: true })),
        ),
      );
      const files = new Map([
        ["main.mjs", await bundle("../../mock/emulator/agent.ts")],
        ["parent.mjs", await bundle("../../parent/process.ts")],
      ]);
      const exec = { arguments: ["node", "/app/main.mjs", "/app/parent.mjs", `out:${awsPort}`, `in:${INGRESS_PORT}`] };
      const parentGuest = await instance.bootParent(await parentImage(emulator, { files, exec }, folder));
      const control = await transport.connect(host(AGENT_PORT));
      const parent = new ControlClient(control, control);
      const session = sessionOf(sessions, OPERATOR_ACCOUNT, "enclave-host");
      const { captureFile: _, ...options } = {
        captureFile: "",
        ...(parentOptions({ vsock: "", awsPort, impostorPort: awsPort, captureFile: "", session }) as object),
      };
      await parent.call("start", {
        ...options,
        peer: { kind: "vsock", cid: ANY_CID },
        enclave: { kind: "vsock", cid: ENCLAVE_CID },
        ingress: `tcp://127.0.0.1:${INGRESS_PORT}`,
      });
      const ingress = createServer({ allowHalfOpen: true }, (socket) => {
        transport.connect(host(INGRESS_PORT)).then(
          (far) => joinStreams(socket, far),
          () => socket.destroy(),
        );
      }).listen(0, "127.0.0.1");
      await once(ingress, "listening");
      return new EmulatedWorld({ instance, aws, awsPort, tlsRoot, sessions, parent, parentGuest, ingress, closing });
    } catch (error) {
      for (const part of closing.reverse()) await part[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The unmodified AWS SDK under a role, as owners use it. */
  kms(accountId: string, role: RoleName, region: string): KMS {
    return new KMS({
      region,
      endpoint: `https://127.0.0.1:${this.#parts.awsPort}`,
      credentials: sessionOf(this.#parts.sessions, accountId, role),
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({ httpsAgent: this.#agent }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    this.#parts.ingress.close();
    for (const part of [...this.#parts.closing].reverse()) await part[Symbol.asyncDispose]();
  }
}

function joinStreams(a: Duplex, b: Duplex): void {
  pipeline(a, b, a, () => {
    a.destroy();
    b.destroy();
  });
}
