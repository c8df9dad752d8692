/**
 * Checks the parent's options before anything starts: a missing field is named, an unknown one is refused.
 *
 * Messages tell types, never contents: credentials pass through here in the process form.
 *
 * @module
 */
import { ConfigError } from "../shared/errors/index.ts";

/** Of one field: what it must be, in words, and whether a value is that. */
export interface FieldRule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  readonly optional?: true;
}

export type FieldRules<Options> = { readonly [Field in keyof Options]-?: FieldRule };

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const OBJECT: FieldRule = { expected: "an object", accepts: isObject };
export const FUNCTION: FieldRule = { expected: "a function", accepts: (value) => typeof value === "function" };
export const TEXT: FieldRule = { expected: "a string", accepts: (value) => typeof value === "string" && value !== "" };
export const LIST: FieldRule = { expected: "an array", accepts: Array.isArray };
export const PEER: FieldRule = {
  expected: 'a peer: {kind: "unix", folder}, {kind: "vsock", cid} or {kind: "hybrid", path}',
  accepts: (value) =>
    isObject(value) &&
    ((value["kind"] === "unix" && typeof value["folder"] === "string" && value["folder"] !== "") ||
      (value["kind"] === "hybrid" && typeof value["path"] === "string" && value["path"] !== "") ||
      (value["kind"] === "vsock" && Number.isInteger(value["cid"]))),
};
export const ADDRESS: FieldRule = {
  expected: "an address with kind unix or tcp",
  accepts: (value) =>
    isObject(value) &&
    ((value["kind"] === "unix" && typeof value["path"] === "string") ||
      (value["kind"] === "tcp" && typeof value["host"] === "string" && Number.isInteger(value["port"]))),
};

export function optional(rule: FieldRule): FieldRule {
  return { ...rule, optional: true };
}

/**
 * Checks each field against its rule, and that there is no other.
 *
 * @throws {ConfigError}
 */
export function checkFields<Options>(given: unknown, rules: FieldRules<Options>, prefix = ""): Options {
  if (!isObject(given)) {
    const field = prefix === "" ? "options" : prefix.slice(0, -1);
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected: "an object", actual: typeOf(given) });
  }
  const known = Object.keys(rules);
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: prefix + name, known });
  }
  for (const [name, rule] of Object.entries<FieldRule>(rules)) {
    const value = given[name];
    const field = prefix + name;
    if (value === undefined) {
      if (rule.optional) continue;
      throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected: rule.expected });
    }
    if (!rule.accepts(value)) {
      throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected: rule.expected, actual: typeOf(value) });
    }
  }
  return given as Options;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}
