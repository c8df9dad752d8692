/**
 * Short names for the words of JSON Schema that a configuration's schema is made of.
 *
 * @module
 */
import type { ConfigSchema } from "./form.ts";

export const text = (description: string): ConfigSchema => ({ type: "string", description, pattern: "^.+$" });
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
