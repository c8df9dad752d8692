/**
 * Which connections are open to which enclave, so that they can be ended when that one is known to be gone.
 *
 * A connection whose client does not read is itself not read, and does not notice the enclave's reset until it is.
 *
 * @module
 */
import type { Duplex } from "node:stream";

export class OpenByTarget {
  readonly #open = new Map<string, Set<Duplex>>();

  /** Holds a connection under its target's name until it is closed. */
  add(name: string, socket: Duplex): void {
    if (socket.closed) return;
    const sockets = this.#open.get(name) ?? new Set();
    this.#open.set(name, sockets.add(socket));
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#open.get(name) === sockets) this.#open.delete(name);
    });
  }

  /** Destroys those of a target; says how many. */
  end(name: string): number {
    const sockets = [...(this.#open.get(name) ?? [])];
    for (const socket of sockets) socket.destroy();
    return sockets.length;
  }
}
