/**
 * Short names for the words of JSON Schema that a configuration's schema is made of.
 *
 * @module
 */
import type { ConfigSchema } from "./form.ts";

/** One line or a part of one: no control character, and so no NUL in a path. */
export const LINE = "[^\\x00-\\x1f\\x7f]+";

export const text = (description: string): ConfigSchema => ({ type: "string", description, pattern: `^${LINE}$` });
export const whole = (minimum: number, maximum: number, more: Partial<ConfigSchema> = {}): ConfigSchema => ({
  type: "integer",
  minimum,
  maximum,
  ...more,
});
export const ms = (fallback: number, description: string): ConfigSchema =>
  whole(1, 86_400_000, { default: fallback, description });
export const object = (
  required: readonly string[],
  properties: Readonly<Record<string, ConfigSchema>>,
  description: string,
): ConfigSchema => ({ type: "object", description, additionalProperties: false, required, properties });
/** A section that may be left out without another meaning: each of its fields has a default. */
export const limits = (properties: Readonly<Record<string, ConfigSchema>>, description: string): ConfigSchema => ({
  ...object([], properties, description),
  default: {},
});
