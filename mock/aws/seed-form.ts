/**
 * Checks a value against the words of JSON Schema that the seed's schema has. A mistake is a `ConfigError` that names the
 * field, e.g. `accounts[0].principals[1].name`; a member that no schema names is one.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { invalidField } from "./config-field.ts";
import { isJsonArray, isJsonObject, type Json, type JsonObject } from "./json.ts";
import type { SeedSchema } from "./seed-schema.ts";

const ROOT = "the seed";

/** @throws {ConfigError} names the field */
export function checkForm(schema: SeedSchema, value: Json, field: string): void {
  if (schema.anyOf) {
    checkVariants(schema, schema.anyOf, value, field);
    return;
  }
  if (schema.const !== undefined || schema.enum) {
    const allowed = schema.enum ?? [schema.const ?? ""];
    if (typeof value !== "string" || !allowed.includes(value))
      throw invalidField(field || ROOT, allowed.join(", "), nameOf(value));
  }
  if (schema.type !== undefined && nameOf(value) !== schema.type && !isInteger(schema, value))
    throw invalidField(field || ROOT, schema.description ?? nounOf(schema.type), nameOf(value));
  if (typeof value === "string" && schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
    throw invalidField(field || ROOT, schema.description ?? schema.pattern, "another form");
  if (typeof value === "number" && schema.minimum !== undefined && value < schema.minimum)
    throw invalidField(field || ROOT, `${schema.minimum} or more`, "less");
  if (isJsonArray(value)) checkItems(schema, value, field);
  if (isJsonObject(value)) checkMembers(schema, value, field);
}

function checkVariants(schema: SeedSchema, variants: readonly SeedSchema[], value: Json, field: string): void {
  const variant = variants.find(({ type = "string" }) => type === nameOf(value));
  if (!variant) throw invalidField(field || ROOT, schema.description ?? "one of the known forms", nameOf(value));
  checkForm(variant, value, field);
}

function checkItems({ items, minItems = 0 }: SeedSchema, value: readonly Json[], field: string): void {
  if (value.length < minItems) throw invalidField(field || ROOT, `${minItems} or more`, String(value.length));
  if (items) for (const [index, item] of value.entries()) checkForm(items, item, `${field}[${index}]`);
}

function checkMembers(schema: SeedSchema, value: JsonObject, field: string): void {
  const { properties = {}, required = [], additionalProperties } = schema;
  const at = (name: string): string => (field === "" ? name : `${field}.${name}`);
  for (const [name, member] of Object.entries(value)) {
    const form = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (form === false)
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: at(name), known: Object.keys(properties) });
    if (form !== undefined) checkForm(form, member, at(name));
  }
  for (const name of required)
    if (!Object.hasOwn(value, name))
      throw new ConfigError("ERR_CONFIG_FIELD_MISSING", {
        field: at(name),
        expected: properties[name]?.description ?? nounOf(properties[name]?.type ?? "string"),
      });
}

function isInteger({ type }: SeedSchema, value: Json): boolean {
  return type === "integer" && Number.isSafeInteger(value);
}

function nameOf(value: Json): string {
  if (value === null) return "null";
  return isJsonArray(value) ? "array" : typeof value;
}

function nounOf(type: string): string {
  return `${/^[aio]/.test(type) ? "an" : "a"} ${type}`;
}
