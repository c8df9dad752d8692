/**
 * Refuses what an operator wrote down, by the path of the field: `accounts[0].principals[1].name`.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";

export function invalidField(field: string, expected: string, actual: string, options?: ErrorOptions): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual }, options);
}

/** @throws {ConfigError} it does not hold */
export function demand(holds: boolean, field: string, expected: string, actual: string): void {
  if (!holds) throw invalidField(field, expected, actual);
}

const INSTANT = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** ISO 8601 with seconds and a time zone, of a day that there is. @throws {ConfigError} */
export function readInstant(text: string, field: string): Date {
  const [, day = ""] = INSTANT.exec(text) ?? [];
  const midnight = new Date(`${day}T00:00:00Z`);
  // A 30th of February would be read as the 2nd of March.
  const isDay = !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
  const instant = new Date(text);
  if (day === "" || !isDay || Number.isNaN(instant.getTime()))
    throw invalidField(field, "a time like 2026-03-01T12:00:00Z", "another form");
  return instant;
}
