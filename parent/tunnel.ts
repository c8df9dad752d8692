/**
 * Joins two connections byte for byte, until both are over.
 *
 *   end of one direction    passed on; the other direction goes on (half-close)
 *   slow reader             the other side is not read further until it caught up
 *   fault on one side       both are destroyed
 *   nothing for a while     both are destroyed
 *
 * Each direction reads on its own, whatever the other waits for: two peers that both flood before they read do not
 * stop each other.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Direction, Tap } from "./observe.ts";

export interface TunnelOptions {
  readonly connectionId: string;
  readonly tap?: Tap | undefined;
  /** How long nothing may cross in either direction, in milliseconds. */
  readonly idleTimeoutMs: number;
}

/** Resolves when both sockets are gone. */
export async function tunnel(enclaveSide: Duplex, outside: Duplex, options: TunnelOptions): Promise<void> {
  const { connectionId, tap, idleTimeoutMs } = options;
  const destroyBoth = (): void => {
    enclaveSide.destroy();
    outside.destroy();
  };
  const idle = setTimeout(destroyBoth, idleTimeoutMs);
  const forward = (from: Duplex, to: Duplex, direction: Direction): Promise<void> => {
    from.on("data", (bytes: Uint8Array) => {
      idle.refresh();
      tap?.(connectionId, direction, bytes);
    });
    to.on("drain", () => idle.refresh());
    from.pipe(to);
    from.once("error", destroyBoth);
    return new Promise((resolve) => {
      const gone = (): void => {
        // After both directions of `from` ended well, `to` may still be writing what it got.
        if (!from.readableEnded || !from.writableFinished) to.destroy();
        resolve();
      };
      if (from.closed) gone();
      else from.once("close", gone);
    });
  };
  try {
    await Promise.all([forward(enclaveSide, outside, "from-enclave"), forward(outside, enclaveSide, "to-enclave")]);
  } finally {
    clearTimeout(idle);
  }
}
