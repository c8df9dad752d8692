/**
 * Reads a clock that never goes back, and refuses one that gives no number: with it nothing would ever expire.
 *
 * @module
 */

/** @throws {TypeError} not a finite number, e.g. `performance.now` itself instead of its value */
export function readMonotonic(monotonicMs: () => number): number {
  const now: unknown = monotonicMs();
  if (typeof now !== "number" || !Number.isFinite(now)) throw new TypeError("monotonicMs gives a finite number");
  return now;
}
