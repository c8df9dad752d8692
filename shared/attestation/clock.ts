/**
 * The moment to judge at, and how far it may be off: read once, before anything else.
 *
 * @module
 */
import { ConfigError } from "../errors/config.ts";

export interface Clock {
  readonly now: Date;
  /** Milliseconds; widens both ends of every validity. */
  readonly clockSkewMs: number;
}

export const CLOCK_SKEW_MAX_MS = 300_000;

/** A copy of the caller's clock: a `Date` that changes during verification changes nothing. @throws {ConfigError} */
export function readClock({ now, clockSkewMs }: Clock): Clock {
  const time = now instanceof Date ? now.getTime() : Number.NaN;
  if (Number.isNaN(time)) {
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "now", expected: "a valid Date", actual: typeof now });
  }
  // A text would pass the comparison, and then be joined to the time instead of added.
  if (typeof clockSkewMs !== "number" || !(clockSkewMs >= 0 && clockSkewMs <= CLOCK_SKEW_MAX_MS)) {
    const expected = `0 to ${CLOCK_SKEW_MAX_MS}`;
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "clockSkewMs", expected, actual: String(clockSkewMs) });
  }
  return { now: new Date(time), clockSkewMs };
}
