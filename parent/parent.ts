/**
 * The parent: what runs on the instance beside the enclave and offers it a way out, a way in, credentials and a log.
 *
 * The enclave takes all of it for hostile. The parent forwards bytes; nothing it holds opens them.
 *
 * @module
 */
import { ConfigError } from "../shared/errors/index.ts";
import { type Address, addressOf, type Peer } from "../shared/transport/address.ts";
import { APP_PORT, EGRESS_PORT } from "../shared/transport/ports.ts";
import type { Transport } from "../shared/transport/transport.ts";
import type { ProvideCredentials } from "./credentials/credentials.ts";
import type { AllowlistEntry, HostMap } from "./egress/allowlist.ts";
import type { EgressLimits, EgressRules } from "./egress/egress.ts";
import type { Resolve } from "./egress/resolver.ts";
import type { IngressLimits } from "./ingress/ingress.ts";
import type { LogSink } from "./observability/log-gate.ts";
import type { EgressStats, ParentLog, Service, ServiceStats, Tap } from "./observability/observe.ts";
import { ADDRESS, checkFields, type FieldRules, FUNCTION, LIST, OBJECT, optional, PEER } from "./options.ts";
import { startServices } from "./services.ts";

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
  stats(): Readonly<Record<Service, ServiceStats>> & { readonly egress: EgressStats };
  /**
   * Another list of what the enclave may reach, whole; connections that are open go on.
   *
   * @throws {ConfigError} it is not usable; the old one stays
   */
  update(rules: EgressRules): void;
  /** Where the enclave's application listens now, as after a restart; none while there is no enclave. */
  setTargets(targets: readonly Address[]): void;
  /** Stops accepting, the clients' door first, and waits for what is open; at the deadline it ends the rest. */
  drain(deadlineMs: number): Promise<{ readonly forced: number }>;
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
  const { allowlist, hosts, resolve, credentials, logSink } = rest;
  if (enclave === undefined && peer.kind === "vsock") {
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "enclave", expected: PEER.expected });
  }
  const targets = [addressOf(enclave ?? peer, APP_PORT)];
  const doors = [{ kind: "connect", port: EGRESS_PORT }] as const;
  const services = await startServices({
    ...{ transport, log, tap, at: (port) => addressOf(peer, port) },
    // Any process of the instance and any enclave on it can dial vsock: only this enclave is served.
    allowedCids: enclave?.kind === "vsock" ? [enclave.cid] : undefined,
    egress: { rules: { allowlist, hosts }, doors, resolve, limits: limits.egress },
    credentials: { provide: credentials },
    logSink,
    ingress: { listen: rest.ingress, targets, limits: limits.ingress },
  });
  const { ingress } = services;
  if (!ingress) throw new TypeError("an ingress was asked for");
  return {
    ingress: ingress.address,
    stats: () => services.stats() as ReturnType<Parent["stats"]>, // all four were asked for
    update: (rules) => services.update(rules),
    setTargets: (next) => ingress.setTargets(next),
    drain: (deadlineMs) => services.drain(deadlineMs),
    close: () => services.close(),
    [Symbol.asyncDispose]: () => services.close(),
  };
}
