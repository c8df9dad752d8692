/**
 * Joins two connections byte for byte, until both are over.
 *
 *   end of one direction    passed on; the other direction goes on (half-close)
 *   slow reader             the other side is not read further until it caught up
 *   fault on one side       both are destroyed
 *   nothing for a while     both are destroyed
 *
 * Each direction reads on its own, whatever the other waits for: two peers that both flood before they read do not
 * stop each other. A direction holds one chunk that its reader did not take yet and the one that Node read before it
 * stopped: 64 KiB each at most, one of the two in the usual case.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Direction, Tap } from "../observability/observe.ts";

/** What crossed, in bytes; grows while the tunnel lives. */
export interface Traffic {
  bytesFromEnclave: number;
  bytesToEnclave: number;
}

export interface TunnelOptions {
  readonly connectionId: string;
  readonly tap?: Tap | undefined;
  /** How long nothing may cross in either direction, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** Ends it at once, both sides, whichever of them is still there. */
  readonly signal?: AbortSignal | undefined;
  /** Where to count. */
  readonly traffic?: Traffic | undefined;
}

/** Resolves when both sockets are gone. */
export async function tunnel(enclaveSide: Duplex, outside: Duplex, options: TunnelOptions): Promise<void> {
  const { connectionId, tap, idleTimeoutMs, traffic, signal } = options;
  const destroyBoth = (): void => {
    enclaveSide.destroy();
    outside.destroy();
  };
  const idle = setTimeout(destroyBoth, idleTimeoutMs);
  signal?.addEventListener("abort", destroyBoth, { once: true });
  if (signal?.aborted) destroyBoth();
  const forward = (from: Duplex, to: Duplex, direction: Direction): Promise<void> => {
    const counted = direction === "from-enclave" ? "bytesFromEnclave" : "bytesToEnclave";
    from.on("data", (bytes: Uint8Array) => {
      idle.refresh();
      if (traffic) traffic[counted] += bytes.length;
      tap?.(connectionId, direction, bytes);
      // A chunk larger than the mark says "wait" although the system took all of it: then there is nothing to wait for.
      if (!to.write(bytes) && to.writableLength > 0) from.pause();
    });
    to.on("drain", () => {
      idle.refresh();
      from.resume();
    });
    from.once("end", () => to.end());
    from.once("error", destroyBoth);
    from.resume();
    return gone(from, to);
  };
  try {
    await Promise.all([forward(enclaveSide, outside, "from-enclave"), forward(outside, enclaveSide, "to-enclave")]);
  } finally {
    clearTimeout(idle);
    signal?.removeEventListener("abort", destroyBoth);
  }
}

/**
 * Resolves when `from` is gone, and takes `to` along unless it may still be writing what it got: `from` was read and
 * written to the end, and `to` said its last before.
 */
function gone(from: Duplex, to: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      if (!from.readableEnded || !from.writableFinished || !to.readableEnded) to.destroy();
      resolve();
    };
    if (from.closed) end();
    else from.once("close", end);
  });
}
