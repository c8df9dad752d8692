/**
 * The clients' way in: forwards the bytes of each connection to the enclave, untouched.
 *
 * TLS ends inside the enclave. A client's half-close reaches it, and its answer reaches the client.
 *
 * @module
 */
import type { Address } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import type { ParentLog, Tap } from "./observe.ts";
import { type Connection, type ListeningService, listenService, type Outcome } from "./service.ts";
import { tunnel } from "./tunnel.ts";

export interface IngressLimits {
  /** To reach the enclave, in milliseconds. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** How long nothing may cross, in milliseconds. Default 600 000. */
  readonly idleTimeoutMs?: number;
  /** How many connections at once. Default 1 024. */
  readonly maxConnections?: number;
}

export interface IngressOptions {
  readonly transport: Transport;
  /** Where clients connect: loopback TCP or a Unix socket. */
  readonly listen: Address;
  /** Where the enclave's application listens. */
  readonly target: Address;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly limits?: IngressLimits | undefined;
}

/** @throws {TransportError} the address can not be bound */
export async function startIngress(options: IngressOptions): Promise<ListeningService> {
  const { transport, listen, target, log, tap, limits = {} } = options;
  const { connectTimeoutMs = 5_000, idleTimeoutMs = 600_000, maxConnections = 1_024 } = limits;

  async function serve({ id, socket }: Connection): Promise<Outcome> {
    const enclave = await transport.connect(target, { timeoutMs: connectTimeoutMs });
    await tunnel(enclave, socket, { connectionId: id, tap, idleTimeoutMs });
    return "served";
  }

  return listenService({ service: "ingress", transport, address: listen, log, maxConnections, serve });
}
