/** What the tests of the app share: a parent's services, a software NSM, an enclave between them; all gone after each test. */
import { mkdirSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach } from "vitest";
import { type EnclaveDefinition, type RunningEnclave, startEnclave } from "../../../enclave/app/start.ts";
import type { Platform } from "../../../enclave/platform.ts";
import { createMockNsm, type MockNsm, type MockNsmOptions } from "../../../mock/testing.ts";
import { startConfiguration } from "../../../parent/configuration/configuration.ts";
import { startCredentials } from "../../../parent/credentials/credentials.ts";
import { startEgress } from "../../../parent/egress/egress.ts";
import { startLogSink } from "../../../parent/observability/log-sink.ts";
import { dangerouslyTrustRoot } from "../../../shared/attestation/index.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { APP_PORT, CONFIG_PORT, CREDENTIALS_PORT, EGRESS_PORT, LOG_PORT } from "../../../shared/transport/ports.ts";
import type { Transport } from "../../../shared/transport/transport.ts";
import { createTransport } from "../../../transport/index.ts";
import { makeCa, type TestCa } from "../../parent/pki.ts";
import { scratchFolder } from "../../transport/streams.ts";

export const transport: Transport = createTransport();
export const measurements = {
  pcr0: new Uint8Array(48).fill(1),
  pcr1: new Uint8Array(48).fill(2),
  pcr2: new Uint8Array(48).fill(3),
};
export const CREDENTIALS = {
  AccessKeyId: "ASIAEXAMPLEEXAMPLE00",
  SecretAccessKey: "canary-secret-access-key-0123456789",
  Token: "canary-session-token",
  Expiration: "2099-01-01T00:00:00Z",
};

const root = scratchFolder();
const cleanups: (() => unknown)[] = [];
let folders = 0;

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function cleanup(end: () => unknown): void {
  cleanups.push(end);
}

export function freshPeer(): Peer {
  const folder = join(root, `${++folders}`);
  mkdirSync(folder);
  return { kind: "unix", folder };
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface World {
  readonly platform: Platform;
  readonly nsm: MockNsm;
  readonly ca: TestCa;
  /** What the enclave told its parent. */
  readonly lines: LogLine[];
  /** Every byte that crossed the parent. */
  readonly crossed: Buffer[];
  launch<Config, ParentConfig>(
    definition: EnclaveDefinition<Config, ParentConfig>,
    options?: { readonly config?: unknown; readonly now?: () => Date; readonly platform?: Partial<Platform> },
  ): Promise<RunningEnclave>;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

export interface AskOptions {
  readonly method?: string;
  readonly body?: string | Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

export interface WorldOptions {
  readonly nsm?: Partial<MockNsmOptions>;
  readonly configuration?: string | "none" | "absent";
  /** `host:port` of an allowed target → the port on this machine. */
  readonly hosts?: Readonly<Record<string, number>>;
  readonly ca?: TestCa;
  /** Beside the one of `ca`. */
  readonly tlsRoots?: readonly string[];
  readonly credentials?: typeof CREDENTIALS;
}

export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const { configuration = "absent", hosts = {}, tlsRoots = [], credentials = CREDENTIALS } = options;
  const nsm = await createMockNsm({ measurements, ...options.nsm });
  const ca = options.ca ?? (await makeCa("test root"));
  const [parent, self] = [freshPeer(), freshPeer()];
  const lines: LogLine[] = [];
  const crossed: Buffer[] = [];
  const tap = (_: string, __: string, bytes: Uint8Array): void => void crossed.push(Buffer.from(bytes));
  const common = { transport, log: () => {}, tap };
  const at = (port: number) => addressOf(parent, port);
  const services = [
    await startLogSink({ ...common, address: at(LOG_PORT), sink: (record) => void lines.push(record as never) }),
    await startCredentials({ ...common, address: at(CREDENTIALS_PORT), provide: () => credentials }),
    await startEgress({
      ...{ ...common, address: at(EGRESS_PORT), allowlist: Object.keys(hosts) },
      hosts: Object.fromEntries(Object.entries(hosts).map(([target, port]) => [target, `127.0.0.1:${port}`])),
    }),
  ];
  if (configuration !== "absent") {
    const document = configuration === "none" ? "none" : new Uint8Array(Buffer.from(configuration));
    services.push(await startConfiguration({ ...common, address: at(CONFIG_PORT), document }));
  }
  for (const service of services) cleanup(() => service.close());
  const attestationRoots = [dangerouslyTrustRoot(nsm.rootCertificate)];
  const platform: Platform = { nsm: nsm.device, attestationRoots, tlsRoots: [ca.root, ...tlsRoots], parent, self };
  return {
    ...{ platform, nsm, ca, lines, crossed },
    async launch(definition, { config, now, platform: changes } = {}) {
      const enclave = await startEnclave(definition, {
        ...{ transport, config, platform: { ...platform, ...changes } },
        ...(now && { now }),
      });
      cleanup(() => enclave.stop());
      return enclave;
    },
    ask: (path, asked) => ask(`${(self as { folder: string }).folder}/${APP_PORT}`, path, asked),
  };
}

function ask(
  socketPath: string,
  path: string,
  { method = "GET", body, headers = {} }: AskOptions = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, headers, agent: false }, async (incoming) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        const text = Buffer.concat(chunks).toString();
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text });
      } catch (error) {
        reject(error);
      }
    }).on("error", reject);
    if (typeof body === "object") body.pipe(outgoing);
    else outgoing.end(body);
  });
}
