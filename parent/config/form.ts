/**
 * Checks a configuration against the words of JSON Schema that its schema has, and says what its defaults make of it.
 *
 * A mistake is a `ConfigError` that names the field and says where it stands; a member that no schema names is one.
 * Values are told by type and size, never by content.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { YamlValue } from "./yaml.ts";

/** A schema of these words only; the variants of `anyOf` are told apart by their JSON type. */
export interface ConfigSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "boolean";
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: string | number | boolean | Readonly<Record<string, never>>;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: ConfigSchema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, ConfigSchema>>;
  readonly additionalProperties?: false | ConfigSchema;
  readonly anyOf?: readonly ConfigSchema[];
}

/** Gives the place of a field in its file. */
export type PlaceOf = (field: string) => string;

/** @throws {ConfigError} `ERR_CONFIG_FIELD_MISSING`, `_INVALID`, `_UNKNOWN` */
export function checkForm(schema: ConfigSchema, value: YamlValue, place: PlaceOf): void {
  new Checker(place).check(schema, value, "");
}

/** A value of this form, with the defaults of the members that are not there, and theirs. */
export function withDefaults({ properties }: ConfigSchema, value: YamlValue): YamlValue {
  if (properties === undefined || typeof value !== "object" || value === null || isList(value)) return value;
  const members = Object.entries(properties).flatMap(([name, property]) => {
    const member = value[name] ?? property.default;
    return member === undefined ? [] : [[name, withDefaults(property, member)] as const];
  });
  return Object.fromEntries(members);
}

class Checker {
  readonly #place: PlaceOf;

  constructor(place: PlaceOf) {
    this.#place = place;
  }

  check(schema: ConfigSchema, value: YamlValue, field: string): void {
    const name = nameOf(value);
    if (schema.anyOf) {
      const variant = schema.anyOf.find(
        ({ type = "string" }) => type === name || (type === "integer" && isWhole(value)),
      );
      if (!variant) throw this.#invalid(field, schema.description ?? "one of the known forms", name);
      this.check(variant, value, field);
      return;
    }
    const isOfType = schema.type === "integer" ? isWhole(value) : schema.type === undefined || schema.type === name;
    if (!isOfType) throw this.#invalid(field, expectation(schema), name);
    if (typeof value === "string") this.#checkText(schema, value, field);
    else if (typeof value === "number") this.#checkNumber(schema, value, field);
    else if (isList(value)) this.#checkItems(schema, value, field);
    else if (typeof value === "object" && value !== null) this.#checkMembers(schema, value, field);
  }

  #checkText(schema: ConfigSchema, value: string, field: string): void {
    const isKnown = schema.enum?.includes(value) ?? true;
    const matches = schema.pattern === undefined || new RegExp(schema.pattern, "u").test(value);
    if (!isKnown || !matches) throw this.#invalid(field, expectation(schema), `another of ${value.length} characters`);
  }

  #checkNumber(schema: ConfigSchema, value: number, field: string): void {
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
    if (value < minimum || value > maximum) throw this.#invalid(field, expectation(schema), String(value));
  }

  #checkItems(schema: ConfigSchema, value: readonly YamlValue[], field: string): void {
    const { items, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
    if (value.length < minItems) throw this.#invalid(field, expectation(schema), `${value.length} of them`);
    if (value.length > maxItems) throw this.#invalid(field, `at most ${maxItems} of them`, `${value.length} of them`);
    if (items) for (const [index, item] of value.entries()) this.check(items, item, `${field}[${index}]`);
  }

  #checkMembers(schema: ConfigSchema, value: { readonly [name: string]: YamlValue }, field: string): void {
    const { properties = {}, required = [], additionalProperties } = schema;
    const known = Object.keys(properties);
    const path = (name: string): string => (field === "" ? name : `${field}.${name}`);
    for (const [name, member] of Object.entries(value)) {
      const form = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
      if (form === false) {
        // What a typing error looks like is the file's content: shown, but printable and short.
        const shown = path(name.replace(/[^ -~]/g, "?").slice(0, 80));
        throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: shown, known, at: this.#place(path(name)) });
      }
      if (form !== undefined) this.check(form, member, path(name));
    }
    for (const name of required) {
      if (Object.hasOwn(value, name)) continue;
      const expected = expectation(properties[name] ?? {});
      const at = this.#place(path(name));
      throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: path(name), expected, at });
    }
  }

  #invalid(field: string, expected: string, actual: string): ConfigError {
    const at = this.#place(field);
    const shown = field === "" ? "the file" : field;
    return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: shown, expected, actual, at });
  }
}

function expectation({ description, enum: choices, type = "string", minimum, maximum }: ConfigSchema): string {
  if (choices) return choices.join(" or ");
  if (type === "integer" && minimum !== undefined && maximum !== undefined) {
    return `an integer from ${minimum} to ${maximum}`;
  }
  return description ?? `${/^[aio]/.test(type) ? "an" : "a"} ${type}`;
}

function isWhole(value: YamlValue): boolean {
  return Number.isSafeInteger(value);
}

function isList(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value);
}

function nameOf(value: YamlValue): string {
  if (value === null) return "null";
  return isList(value) ? "array" : typeof value;
}
