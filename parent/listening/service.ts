/**
 * The life of a listening service: accept up to a limit, number and count the connections, survive each of them.
 *
 *   all places taken            a new connection waits a second for one, unread, in a short queue; then it is closed
 *   one context id's are taken  its next connection is closed at once, so that one enclave can not take all places
 *   nothing to accept with      the driver rests (`EMFILE` and its like); told once, until there is calm again
 *   drain                       accepts no more, lets what is open finish, destroys the rest at the deadline
 *
 * One connection's failure is that connection's: it is logged and counted, and the service goes on.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Address } from "../../shared/transport/address.ts";
import type { Caller, Listener, Transport } from "../../shared/transport/transport.ts";
import {
  codeOf,
  type ListeningService,
  type ParentLog,
  type Service,
  type ServiceStats,
} from "../observability/observe.ts";
import { AcceptPauses } from "./accept-pauses.ts";
import type { Connection, Outcome } from "./connection.ts";
import { type PlaceLimits, Places } from "./places.ts";

export interface ServiceOptions extends PlaceLimits {
  readonly service: Service;
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly log: ParentLog;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: (() => number) | undefined;
  /** Serves one connection; resolves when it is over. What it throws is counted as a failure. */
  readonly serve: (connection: Connection) => Promise<Outcome>;
}

export interface DrainOptions {
  /** Ends what carries nothing for so long, at most twice as long, in milliseconds: a kept connection has no other end. */
  readonly quietMs?: number;
}

export interface CidListeningService extends ListeningService {
  drain(deadlineMs: number, options?: DrainOptions): Promise<{ readonly forced: number }>;
  /**
   * Destroys what a context id has open, and says how many that were; `undefined` for peers that have none. For who knows
   * that it is gone: a connection that is not read, because its other end is slow, does not notice by itself.
   */
  disconnect(cid: number | undefined): number;
}

/**
 * @throws {TransportError} the address can not be bound
 */
export async function listenService(options: ServiceOptions): Promise<CidListeningService> {
  const service = new Accepting(options);
  await service.listen();
  return service;
}

class Accepting implements CidListeningService {
  readonly #options: ServiceOptions;
  readonly #now: () => number;
  readonly #places: Places;
  readonly #pauses: AcceptPauses;
  readonly #live = new Map<Connection, AbortController>();
  readonly #counts = { accepted: 0, refused: 0, failed: 0, full: 0, bytesFromEnclave: 0, bytesToEnclave: 0 };
  #whenIdle: (() => void)[] = [];
  #listener: Listener | undefined;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#now = options.monotonicMs ?? (() => performance.now());
    this.#places = new Places(options);
    const { service, log } = options;
    this.#pauses = new AcceptPauses((event, facts) => log({ service, event, ...facts }));
  }

  get address(): Address {
    return this.#listener?.address ?? this.#options.address;
  }

  async listen(): Promise<void> {
    const { transport, address, allowedCids } = this.#options;
    this.#listener = await transport.listen(address, (socket, caller) => this.#receive(socket, caller), {
      onAcceptPaused: (reason) => this.#pauses.paused(reason),
      onAcceptResumed: () => this.#pauses.resumed(),
      ...(allowedCids && { allowedCids }),
    });
  }

  stats(): ServiceStats {
    let { bytesFromEnclave, bytesToEnclave } = this.#counts;
    for (const { traffic } of this.#live.keys()) {
      bytesFromEnclave += traffic.bytesFromEnclave;
      bytesToEnclave += traffic.bytesToEnclave;
    }
    const { accepted, refused, failed, full } = this.#counts;
    const acceptPauses = this.#pauses.count;
    return { open: this.#live.size, accepted, refused, failed, full, bytesFromEnclave, bytesToEnclave, acceptPauses };
  }

  async drain(deadlineMs: number, { quietMs }: DrainOptions = {}): Promise<{ readonly forced: number }> {
    if (!(deadlineMs >= 0 && deadlineMs <= 0x7fff_ffff)) throw new RangeError("deadlineMs must be 0 to 2^31-1");
    const { service, log } = this.#options;
    const start = this.#now();
    this.#listener?.stopAccepting();
    log({ service, event: "draining", count: this.#live.size + this.#places.waiting });
    let forced = 0;
    const timer = setTimeout(() => {
      forced = this.#live.size + this.#places.waiting;
      this.#destroyAll();
    }, deadlineMs);
    const quiet = quietMs === undefined ? undefined : setInterval(this.#endQuiet(), quietMs);
    await this.#idle();
    clearTimeout(timer);
    clearInterval(quiet);
    await this.close();
    log({ service, event: "drained", count: forced, durationMs: this.#now() - start });
    return { forced };
  }

  /** Each time it is called: ends what has not carried a byte since the last time. */
  #endQuiet(): () => void {
    const before = new Map<Connection, number>();
    return () => {
      this.#destroy((connection) => {
        const { bytesFromEnclave, bytesToEnclave } = connection.traffic;
        const crossed = bytesFromEnclave + bytesToEnclave;
        const isQuiet = before.get(connection) === crossed;
        before.set(connection, crossed);
        return isQuiet;
      });
    };
  }

  disconnect(cid: number | undefined): number {
    return this.#destroy((connection) => connection.cid === cid);
  }

  async close(): Promise<void> {
    this.#pauses.stop();
    this.#places.dismiss();
    await this.#listener?.close();
    // Its own side is closed; a far side, or work for a peer that left, may still be there.
    this.#destroy(() => true);
    await this.#idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(socket: Duplex, { cid }: Caller = {}): void {
    // A peer's reset is an event of its connection, whatever driver it came through.
    socket.on("error", () => {});
    const { service, log } = this.#options;
    const id = `${service}-${++this.#counts.accepted}`;
    const from = cid === undefined ? {} : { cid };
    const ending = new AbortController();
    const connection: Connection = {
      id,
      socket,
      signal: ending.signal,
      traffic: { bytesFromEnclave: 0, bytesToEnclave: 0 },
      log: (event, facts) => log({ service, event, connectionId: id, ...from, ...facts }),
      ...from,
    };
    this.#places.take(cid, {
      begin: () => void this.#serve(connection, ending),
      turnAway: () => {
        this.#counts.full++;
        socket.destroy();
        connection.log("full");
        this.#checkIdle();
      },
    });
  }

  async #serve(connection: Connection, ending: AbortController): Promise<void> {
    const start = this.#now();
    this.#live.set(connection, ending);
    connection.log("accepted");
    try {
      const outcome = await this.#options.serve(connection);
      if (outcome === "refused") this.#counts.refused++;
    } catch (error) {
      this.#counts.failed++;
      connection.socket.destroy();
      connection.log("failed", { code: codeOf(error) });
    } finally {
      this.#end(connection, this.#now() - start);
    }
  }

  #end(connection: Connection, durationMs: number): void {
    const { bytesFromEnclave, bytesToEnclave } = connection.traffic;
    this.#live.delete(connection);
    this.#counts.bytesFromEnclave += bytesFromEnclave;
    this.#counts.bytesToEnclave += bytesToEnclave;
    this.#places.leave(connection.cid);
    connection.log("closed", { durationMs, bytesFromEnclave, bytesToEnclave });
    this.#checkIdle();
  }

  #destroyAll(): void {
    this.#places.dismiss();
    this.#destroy(() => true);
  }

  #destroy(isMeant: (connection: Connection) => boolean): number {
    const meant = [...this.#live].filter(([connection]) => isMeant(connection));
    for (const [{ socket }, ending] of meant) {
      ending.abort();
      socket.destroy();
    }
    return meant.length;
  }

  async #idle(): Promise<void> {
    if (this.#live.size + this.#places.waiting === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #checkIdle(): void {
    if (this.#live.size + this.#places.waiting > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}
