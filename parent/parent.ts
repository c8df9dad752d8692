/**
 * The parent: what runs on the instance beside the enclave and offers it a way out, a way in, credentials and a log.
 *
 * The enclave takes all of it for hostile. The parent forwards bytes; nothing it holds opens them.
 *
 * @module
 */
import { ConfigError } from "../shared/errors/index.ts";
import { type Address, addressOf, type Peer } from "../shared/transport/address.ts";
import { APP_PORT, CREDENTIALS_PORT, EGRESS_PORT, LOG_PORT } from "../shared/transport/ports.ts";
import type { Transport } from "../shared/transport/transport.ts";
import type { AllowlistEntry, HostMap } from "./allowlist.ts";
import { type ProvideCredentials, startCredentials } from "./credentials.ts";
import type { Resolve } from "./dial.ts";
import { type EgressLimits, startEgress } from "./egress.ts";
import { type IngressLimits, startIngress } from "./ingress.ts";
import { type LogSink, startLogSink } from "./log-sink.ts";
import type { ParentLog, Service, ServiceStats, Tap } from "./observe.ts";
import { ADDRESS, checkFields, type FieldRules, FUNCTION, LIST, OBJECT, optional, PEER } from "./options.ts";
import type { ListeningService } from "./service.ts";

export interface ParentOptions {
  readonly transport: Transport;
  /** Where the parent listens for the enclave, a service a port (`shared/transport/ports.ts`). */
  readonly peer: Peer;
  /** Where the enclave listens. Required for vsock; for Unix sockets one folder (`peer`) may serve both. */
  readonly enclave?: Peer;
  /** All that the enclave may reach. */
  readonly allowlist: readonly AllowlistEntry[];
  /** Fixed places of allowed targets, `host:port` → `address:port`; for mock mode and tests. */
  readonly hosts?: HostMap;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve;
  /** Gives the role's credentials of the moment. */
  readonly credentials: ProvideCredentials;
  /** Where the enclave's log goes. */
  readonly logSink: LogSink;
  /** Where clients connect: loopback TCP or a Unix socket. */
  readonly ingress: Address;
  /** What the parent itself has to tell. */
  readonly log: ParentLog;
  /** Sees every byte that crosses, in all four services. */
  readonly tap?: Tap;
  readonly limits?: { readonly egress?: EgressLimits; readonly ingress?: IngressLimits };
}

const RULES: FieldRules<ParentOptions> = {
  transport: OBJECT,
  peer: PEER,
  enclave: optional(PEER),
  allowlist: LIST,
  hosts: optional(OBJECT),
  resolve: optional(FUNCTION),
  credentials: FUNCTION,
  logSink: FUNCTION,
  ingress: ADDRESS,
  log: FUNCTION,
  tap: optional(FUNCTION),
  limits: optional(OBJECT),
};

/** A parent that runs. Disposing it closes all four services and their connections. */
export interface Parent extends AsyncDisposable {
  /** Where clients connect; with the port that the system chose. */
  readonly ingress: Address;
  stats(): Readonly<Record<Service, ServiceStats>>;
  close(): Promise<void>;
}

/**
 * Starts the four services.
 *
 * @throws {ConfigError} an option is missing, unknown or of another form
 * @throws {TransportError} an address can not be bound; nothing is left running
 *
 * @example
 * ```ts
 * await using parent = await startParent({
 *   transport: createTransport(),
 *   peer: { kind: "unix", folder: "/run/cloister" },
 *   allowlist: ["kms.eu-central-1.amazonaws.com:443"],
 *   credentials: () => readInstanceRole(),
 *   logSink: (record) => console.log(JSON.stringify(record)),
 *   ingress: { kind: "tcp", host: "127.0.0.1", port: 8443 },
 *   log: (event) => console.error(JSON.stringify(event)),
 * });
 * ```
 */
export async function startParent(options: ParentOptions): Promise<Parent> {
  const { transport, peer, enclave, log, tap, limits = {}, ...rest } = checkFields(options, RULES);
  const { allowlist, hosts, resolve } = rest;
  // Any process of the instance and any enclave on it can dial vsock: only this enclave is served.
  const allowedCids = enclave?.kind === "vsock" ? [enclave.cid] : undefined;
  const shared = { transport, log, tap, allowedCids };
  const at = (port: number): Address => addressOf(peer, port);
  if (enclave === undefined && peer.kind === "vsock") {
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "enclave", expected: PEER.expected });
  }
  const target = addressOf(enclave ?? peer, APP_PORT);
  const running: ListeningService[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(running.map((service) => service.close()));
  };
  const started = async (service: Promise<ListeningService>): Promise<ListeningService> => {
    running.push(await service);
    return service;
  };
  try {
    const egress = await started(
      startEgress({ ...shared, allowlist, hosts, resolve, address: at(EGRESS_PORT), limits: limits.egress }),
    );
    const credentials = await started(
      startCredentials({ ...shared, address: at(CREDENTIALS_PORT), provide: rest.credentials }),
    );
    const logs = await started(startLogSink({ ...shared, address: at(LOG_PORT), sink: rest.logSink }));
    const ingress = await started(startIngress({ ...shared, listen: rest.ingress, target, limits: limits.ingress }));
    const stats: Parent["stats"] = () => {
      return { egress: egress.stats(), credentials: credentials.stats(), log: logs.stats(), ingress: ingress.stats() };
    };
    return { ingress: ingress.address, stats, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
