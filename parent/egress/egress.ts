/**
 * The enclave's way out: a proxy that forwards to the hosts on its allowlist and to nothing else, behind one of two
 * doors.
 *
 *   connect    one port, many hosts: an HTTP CONNECT request says which (`connect-door.ts`)
 *   port       one port, one host, and every byte is the tunnel's: in the place of a vsock-proxy
 *
 *   1. target     asked for, or the door's                          otherwise 400
 *   2. allow      host and port stand on the list, exactly          otherwise 403
 *   3. dial       resolve, classify, connect                        otherwise 502
 *   4. name       where the list says so: TLS asks for this host    otherwise closed, and nothing was forwarded
 *   5. tunnel     bytes both ways
 *
 * TLS ends inside the enclave: what crosses here is ciphertext. Behind the port door there is nobody to tell a status
 * to: the connection is closed.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { ConfigError, TransportError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";
import type { Target } from "../../shared/transport/target.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import type { PlaceLimits } from "../listening/places.ts";
import { type CidListeningService, listenService } from "../listening/service.ts";
import { tunnel } from "../listening/tunnel.ts";
import type { EgressStats, ParentLog, Tap } from "../observability/observe.ts";
import {
  type AllowedTarget,
  type Allowlist,
  type AllowlistEntry,
  type HostMap,
  readAllowlist,
  readTarget,
} from "./allowlist.ts";
import { accept, readConnect, refusalOf, refuse } from "./connect-door.ts";
import { type DialCounts, dial } from "./dial.ts";
import { createResolver, type Resolve } from "./resolver.ts";
import { enforceServerName, type SniPolicy } from "./sni.ts";

export interface EgressLimits extends Partial<PlaceLimits> {
  /** From the connection to the end of the request's head, and again to that of TLS's, in milliseconds. Default 5 000. */
  readonly headTimeoutMs?: number;
  /** To resolve and connect, in milliseconds. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** How long nothing may cross a tunnel, in milliseconds. Default 600 000: a kept-alive HTTP connection may rest. */
  readonly idleTimeoutMs?: number;
  /** How many connections at once. Default 1 024. */
  readonly maxConnections?: number;
}

/** How the enclave says where it wants to. */
export type EgressDoor =
  | { readonly kind: "connect" }
  | {
      readonly kind: "port";
      /** `host:port`; must be on the allowlist. */
      readonly target: string;
    };

/** What may be reached, and where it is. */
export interface EgressRules {
  /** All that may be reached. An empty list forwards nothing. */
  readonly allowlist: readonly AllowlistEntry[];
  /** Fixed places of targets, for mock mode and tests. A target must be on the allowlist all the same. */
  readonly hosts?: HostMap | undefined;
}

export interface EgressOptions extends EgressRules {
  readonly transport: Transport;
  readonly address: Address;
  /** Default `connect`. */
  readonly door?: EgressDoor | undefined;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  /** Default: `createResolver()`, DNS with a cache that survives an outage. */
  readonly resolve?: Resolve | undefined;
  /** For entries that do not say it themselves. Default `off`: a target may be something else than TLS. */
  readonly sniPolicy?: SniPolicy | undefined;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly limits?: EgressLimits | undefined;
}

export interface EgressService extends CidListeningService {
  stats(): EgressStats;
  /**
   * Puts new rules in the place of the old ones, whole. Connections that are open go on.
   *
   * @throws {ConfigError} they are not usable; the old ones stay
   */
  update(rules: EgressRules): void;
}

/**
 * Starts the proxy.
 *
 * @throws {ConfigError} the allowlist or the host map is not usable, or the door's target is not on the list
 * @throws {TransportError} the address can not be bound
 */
export async function startEgress(options: EgressOptions): Promise<EgressService> {
  const { transport, address, allowedCids, log, limits = {} } = options;
  const { maxConnections = 1_024, maxConnectionsPerCid, maxWaiting, waitTimeoutMs } = limits;
  const engine = new Engine(options);
  const service = await listenService({
    service: "egress",
    ...{ transport, address, allowedCids, log, maxConnections, maxConnectionsPerCid, maxWaiting, waitTimeoutMs },
    serve: (connection) => engine.serve(connection),
  });
  return {
    address: service.address,
    stats: () => ({ ...service.stats(), ...engine.counts }),
    update: (rules) => engine.update(rules),
    drain: (deadlineMs, options) => service.drain(deadlineMs, options),
    disconnect: (cid) => service.disconnect(cid),
    close: () => service.close(),
    [Symbol.asyncDispose]: () => service.close(),
  };
}

class Engine {
  readonly counts: DialCounts = { resolutions: 0, resolutionFailures: 0, connectFailures: 0 };
  readonly #options: EgressOptions;
  readonly #resolve: Resolve;
  readonly #fixedTarget: Target | undefined;
  readonly #timeouts: { readonly head: number; readonly connect: number; readonly idle: number };
  #allowlist: Allowlist;

  constructor(options: EgressOptions) {
    const { door, limits = {}, allowlist, hosts } = options;
    this.#options = options;
    this.#resolve = options.resolve ?? createResolver();
    const { headTimeoutMs = 5_000, connectTimeoutMs = 5_000, idleTimeoutMs = 600_000 } = limits;
    this.#timeouts = { head: headTimeoutMs, connect: connectTimeoutMs, idle: idleTimeoutMs };
    this.#allowlist = readAllowlist(allowlist, hosts);
    this.#fixedTarget = door?.kind === "port" ? readTarget(door.target, "door.target") : undefined;
    if (this.#fixedTarget && !this.#allowlist.find(this.#fixedTarget)) {
      const details = { field: "door.target", expected: "a target on the allowlist", actual: "another" };
      throw new ConfigError("ERR_CONFIG_FIELD_INVALID", details);
    }
  }

  update({ allowlist, hosts }: EgressRules): void {
    this.#allowlist = readAllowlist(allowlist, hosts);
  }

  async serve(connection: Connection): Promise<Outcome> {
    const { tap } = this.#options;
    let target: Target | undefined;
    try {
      target = this.#fixedTarget ?? (await readConnect(connection, this.#timeouts.head, tap));
      await this.#forward(connection, target);
      return "served";
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      const named = target && { target: `${target.host}:${target.port}` };
      connection.log("refused", { code: refusal.reason ?? refusal.code, ...named });
      if (this.#fixedTarget) connection.socket.destroy();
      else await refuse(connection, refusal, tap);
      return "refused";
    }
  }

  async #forward(connection: Connection, target: Target): Promise<void> {
    const { tap, sniPolicy = "off" } = this.#options;
    const { id, socket, traffic, signal } = connection;
    const allowed = this.#allowlist.find(target);
    if (!allowed) throw new TransportError("ERR_TRANSPORT_HOST_NOT_ALLOWED", target);
    const start = performance.now();
    const upstream = await this.#dial(allowed, socket);
    // From here on the upstream is held by a name: whatever fails next must not leave it open.
    try {
      const durationMs = performance.now() - start;
      connection.log("connected", { target: `${target.host}:${target.port}`, durationMs });
      if (!this.#fixedTarget) accept(connection, tap);
      if ((allowed.sniPolicy ?? sniPolicy) === "enforce") {
        await enforceServerName(socket, { host: target.host, address: id, timeoutMs: this.#timeouts.head });
      }
    } catch (error) {
      upstream.destroy();
      throw error;
    }
    await tunnel(socket, upstream, { connectionId: id, tap, traffic, signal, idleTimeoutMs: this.#timeouts.idle });
  }

  async #dial(allowed: AllowedTarget, socket: Duplex): Promise<Duplex> {
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    socket.once("close", onClose);
    if (socket.destroyed) gone.abort();
    try {
      const { counts } = this;
      return await dial(allowed, {
        resolve: this.#resolve,
        timeoutMs: this.#timeouts.connect,
        signal: gone.signal,
        counts,
      });
    } finally {
      socket.off("close", onClose);
    }
  }
}
