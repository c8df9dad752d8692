/**
 * The seam between code that talks and the way bytes travel.
 *
 * Both calls give a Node `Duplex` with the contract of `net.Socket`: half-close is kept (`allowHalfOpen`), `write`
 * answers `false` under backpressure. So `node:http`, `node:tls` and the AWS SDK work over every driver unchanged.
 * Drivers live in `transport/`; this file does no I/O.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Address } from "./address.ts";

export interface ConnectOptions {
  /** Gives up waiting for the connection. */
  readonly signal?: AbortSignal;
  /** How long to wait for the connection, in milliseconds. Default 10 000: a peer on the same host answers at once. */
  readonly timeoutMs?: number;
}

/** Who connected, as far as a driver knows. */
export interface Caller {
  /** Over vsock: the context id, which the hypervisor vouches for. */
  readonly cid?: number;
}

export type OnConnection = (socket: Duplex, caller?: Caller) => void;

export interface ListenOptions {
  /**
   * Over vsock, which any process of this machine and any enclave beside it can dial: the peers that are taken, by
   * context id, or `"any"`. Required there, here or of the driver. Other drivers have no such peers.
   */
  readonly allowedCids?: readonly number[] | "any";
  /** Hears that accepting rests and why, such as `EMFILE`: once, until a connection is accepted again. */
  readonly onAcceptPaused?: (reason: string) => void;
  /** Hears that a connection was accepted again after that. */
  readonly onAcceptResumed?: () => void;
}

export interface Listener extends AsyncDisposable {
  /** Where it listens; for `tcp://127.0.0.1:0` the port that the system chose. */
  readonly address: Address;
  /** Takes no more connections from now on; those that are open stay. */
  stopAccepting(): void;
  /** Stops accepting and ends the connections that are open. */
  close(): Promise<void>;
}

export interface Transport {
  /**
   * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`, `ERR_TRANSPORT_TIMEOUT`
   */
  connect(address: Address, options?: ConnectOptions): Promise<Duplex>;
  /**
   * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE` when the address can not be bound
   */
  listen(address: Address, onConnection: OnConnection, options?: ListenOptions): Promise<Listener>;
}
