/**
 * The driver without a system underneath: a network of its own in this process, for tests and for parts that share one.
 *
 * Each transport is a separate network. It takes addresses of every kind as names, so code that is written for
 * `vsock://3:8001` runs on it unchanged. The sockets keep the contract of `net.Socket`: half-close, backpressure, a copy
 * of each chunk, `EPIPE` and `ECONNRESET` when the peer is gone, and no event before the call that caused it has
 * returned.
 *
 * @module
 */
import { Duplex } from "node:stream";
import { type Address, checkVsockPort, formatAddress } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { attemptConnection, systemError, unreachable } from "./attempt.ts";
import { ignoreError, OpenSockets, SocketListener } from "./socket-listener.ts";

const FIRST_EPHEMERAL_PORT = 49_152;

export function createMemoryTransport(): Transport {
  const listeners = new Map<string, (socket: Duplex) => void>();
  let ephemeral = FIRST_EPHEMERAL_PORT;
  const located = (address: Address): Address =>
    address.kind === "tcp" && address.port === 0 ? { ...address, port: ephemeral++ } : address;
  return {
    async connect(address, options = {}) {
      const name = nameOf(address);
      return attemptConnection<Duplex>({ ...options, address }, ({ succeed, fail }) => {
        const later = setImmediate(() => {
          const accept = listeners.get(name);
          if (accept === undefined) {
            fail(unreachable(address, systemError("ECONNREFUSED", "connect")));
            return;
          }
          const [near, far] = createMemoryPair();
          succeed(near);
          accept(far);
        });
        return () => clearImmediate(later);
      });
    },
    async listen(wanted, onConnection) {
      const address = located(wanted);
      const name = nameOf(address);
      if (listeners.has(name)) throw unreachable(address, systemError("EADDRINUSE", "listen"));
      const open = new OpenSockets();
      listeners.set(name, (socket) => {
        open.add(socket);
        onConnection(socket);
      });
      return new SocketListener(address, open, async () => void listeners.delete(name));
    },
  };
}

function nameOf(address: Address): string {
  if (address.kind !== "unix") checkVsockPort(address.port);
  return formatAddress(address);
}

/** Two sockets that are connected to each other. */
export function createMemoryPair(): readonly [Duplex, Duplex] {
  const near = new MemorySocket();
  const far = new MemorySocket();
  near.join(far);
  far.join(near);
  return [near, far];
}

class MemorySocket extends Duplex {
  #peer: MemorySocket | undefined;
  /** Tells the peer that there is room for more; it waits with its write until then. */
  #onRoom: ((error?: Error) => void) | undefined;
  #peerEnded = false;
  #peerGone = false;

  constructor() {
    super({ allowHalfOpen: true });
    this.on("error", ignoreError);
  }

  join(peer: MemorySocket): void {
    this.#peer = peer;
  }

  override _read(): void {
    const onRoom = this.#onRoom;
    this.#onRoom = undefined;
    onRoom?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // The writer may use its memory again once `done` is called, the reader may keep the chunk for ever.
    const copy = Buffer.from(chunk);
    setImmediate(() => {
      if (this.#peerGone) done(systemError("EPIPE", "write"));
      else this.#peer?.deliver(copy, done);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    setImmediate(() => {
      this.#peer?.hearEnd();
      done();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const reset = error !== null || this.readableLength > 0;
    setImmediate(() => {
      this.#peer?.leave(reset);
      this.#onRoom?.(systemError("EPIPE", "write"));
    });
    done(error);
  }

  private deliver(chunk: Buffer, done: (error?: Error) => void): void {
    if (this.destroyed || this.push(chunk)) done();
    else this.#onRoom = done;
  }

  private hearEnd(): void {
    if (this.#peerEnded || this.destroyed) return;
    this.#peerEnded = true;
    this.push(null);
  }

  private leave(reset: boolean): void {
    this.#peerGone = true;
    if (reset) this.destroy(systemError("ECONNRESET", "read"));
    else this.hearEnd();
  }
}
