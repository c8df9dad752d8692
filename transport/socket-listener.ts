/**
 * How a listener closes, whatever its driver: it takes no more, lets each connection send what was written, and does
 * not wait longer than a second for peers that do not read.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Address } from "../shared/transport/address.ts";
import type { Listener } from "../shared/transport/transport.ts";

/** How long a closing listener waits for its peers to take what was written, in milliseconds. */
const LINGER_MS = 1_000;

export function ignoreError(): void {}

/** The connections that are open now; each leaves the set when it closes. */
export class OpenSockets implements Iterable<Duplex> {
  readonly #sockets = new Set<Duplex>();

  /** A peer that resets its connection is an ordinary event, never an uncaught exception. */
  add(socket: Duplex): void {
    socket.on("error", ignoreError);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  [Symbol.iterator](): Iterator<Duplex> {
    return this.#sockets.values();
  }
}

export class SocketListener implements Listener {
  readonly address: Address;
  readonly #open: OpenSockets;
  readonly #stop: () => Promise<void>;
  #stopped: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  /** `stop` ends the accepting. */
  constructor(address: Address, open: OpenSockets, stop: () => Promise<void>) {
    this.address = address;
    this.#open = open;
    this.#stop = stop;
  }

  stopAccepting(): void {
    this.#stopped ??= this.#stop();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const linger = setTimeout(() => {
      for (const socket of this.#open) socket.destroy();
    }, LINGER_MS);
    this.stopAccepting();
    await Promise.all([this.#stopped, ...[...this.#open].map(destroySoon)]);
    clearTimeout(linger);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Ends what is written, then destroys; resolves when the socket is gone. */
function destroySoon(socket: Duplex): Promise<void> {
  if (socket.writable) socket.end();
  if (socket.writableFinished) socket.destroy();
  else socket.once("finish", () => socket.destroy());
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}
