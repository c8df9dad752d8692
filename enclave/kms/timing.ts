/**
 * Time and chance as values: what waits and what is jittered takes them from here, and tests bring their own.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";

export interface Timing {
  /** A clock that only goes forward, in milliseconds. */
  readonly monotonicMs: () => number;
  /** Waits so many milliseconds, or rejects when the signal aborts. */
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** From 0 up to 1, evenly: for jitter, never for secrets. */
  readonly random: () => number;
}

export const SYSTEM_TIMING: Timing = {
  monotonicMs: () => performance.now(),
  wait: (ms, signal) => sleep(ms, undefined, { ...(signal && { signal }) }),
  random: Math.random,
};
