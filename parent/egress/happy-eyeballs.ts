/**
 * Connects to the first of several addresses that answers.
 *
 *   order      IPv6 and IPv4 in turn, IPv6 first; within a family as the resolver gave them
 *   stagger    the next address is tried when the one before failed, or did not answer within 250 ms
 *   winner     the first connection is taken; the others are given up, and one that comes too late is destroyed
 *
 * Which addresses are acceptable was decided before; no name comes here.
 *
 * Source: RFC 8305 §4, §5 (Connection Attempt Delay).
 *
 * @module
 */
import { isIPv6 } from "node:net";
import type { Duplex } from "node:stream";

export const STAGGER_MS = 250;

/** Connects to one address; rejects when the signal aborts. */
export type ConnectTo = (address: string, signal: AbortSignal) => Promise<Duplex>;

/** IPv6 and IPv4 in turn, IPv6 first. */
export function interleave(addresses: readonly string[]): readonly string[] {
  const six = addresses.filter((address) => isIPv6(address));
  const four = addresses.filter((address) => !isIPv6(address));
  return Array.from({ length: Math.max(six.length, four.length) }, (_, i) => [six[i], four[i]])
    .flat()
    .filter((address) => address !== undefined);
}

/** Rejects with the last attempt's error when all failed, with the signal's reason when it aborts. */
export async function connectFirst(
  addresses: readonly string[],
  connect: ConnectTo,
  signal: AbortSignal,
): Promise<Duplex> {
  signal.throwIfAborted();
  const queue = [...interleave(addresses)];
  const losers = new AbortController();
  const onAbort = (): void => losers.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  let stagger: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Duplex>((resolve, reject) => {
      let won = false;
      let pending = 0;
      const lost = (error: unknown): void => {
        pending--;
        if (won) return;
        if (losers.signal.aborted) reject(losers.signal.reason);
        else if (queue.length > 0) next();
        else if (pending === 0) reject(error);
      };
      const next = (): void => {
        clearTimeout(stagger);
        const address = queue.shift();
        if (address === undefined) return;
        pending++;
        if (queue.length > 0) stagger = setTimeout(next, STAGGER_MS);
        connect(address, losers.signal).then((socket) => {
          if (won || losers.signal.aborted) socket.destroy();
          if (losers.signal.aborted) reject(losers.signal.reason);
          won = true;
          resolve(socket);
        }, lost);
      };
      next();
    });
  } finally {
    clearTimeout(stagger);
    signal.removeEventListener("abort", onAbort);
    losers.abort();
  }
}
