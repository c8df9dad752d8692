/**
 * How long to wait before an enclave is started again, and how often.
 *
 *   wait    random, from 0 to baseMs × 2^(failures - 1), at most maxMs ("full jitter")
 *   reset   an enclave that was up for stableMs starts the count anew
 *   limit   after maxFailures in a row nothing is tried any more
 *
 * The whole span is random so that hosts that lost their enclaves together do not come back together.
 *
 * @module
 */

export interface Backoff {
  /** The longest wait after the first failure, in milliseconds. Default 1 000. */
  readonly baseMs: number;
  /** The longest wait of all, in milliseconds. Default 60 000. */
  readonly maxMs: number;
  /** How long an enclave is up before its end counts as the first failure again, in milliseconds. Default 60 000. */
  readonly stableMs: number;
  /** How many failures in a row are the last. Default 10, some minutes of trying. */
  readonly maxFailures: number | "unlimited";
}

const DEFAULTS: Backoff = { baseMs: 1_000, maxMs: 60_000, stableMs: 60_000, maxFailures: 10 };
/** More than this many doublings of a millisecond is no time that anyone waits. */
const DOUBLINGS_MAX = 40;

/** @throws {RangeError} a time that is negative or no number, or a limit below 1 */
export function readBackoff(options: Partial<Backoff> = {}): Backoff {
  const backoff = { ...DEFAULTS, ...options };
  const { baseMs, maxMs, stableMs, maxFailures } = backoff;
  for (const [name, value] of Object.entries({ baseMs, maxMs, stableMs })) {
    if (!Number.isFinite(value) || value < 0) throw new RangeError(`${name} is a time in milliseconds, got ${value}`);
  }
  if (maxFailures !== "unlimited" && !(Number.isInteger(maxFailures) && maxFailures >= 1)) {
    throw new RangeError(`maxFailures is an integer from 1 or "unlimited", got ${maxFailures}`);
  }
  return backoff;
}

/** @param random gives a number from 0 to below 1 */
export function backoffMs(failures: number, { baseMs, maxMs }: Backoff, random: () => number): number {
  const span = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, DOUBLINGS_MAX));
  return Math.floor(random() * span);
}
