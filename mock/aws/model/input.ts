/**
 * Checks an operation's input against its model, in AWS's words: the wrong JSON type is a SerializationException, a
 * broken limit is one clause of a ValidationException, and all clauses come together.
 *
 * A text of the request is quoted up to its 1,024th character, longer than any recorded answer quotes.
 *
 * Members that the shape does not have are ignored, as AWS does. `null` is absent. Secret values are never quoted.
 *
 * @module
 */
import { serializationFault, validationFault } from "../fault.ts";
import { isJsonArray, isJsonObject, type Json, type JsonObject } from "../json.ts";
import { type ServiceModel, type Shape, shapeOf } from "./service-model.ts";

/** Blobs as `Uint8Array`, times as `Date`, maps and structures as plain objects. @throws {AwsFault} */
export function validateInput(model: ServiceModel, operation: string, input: JsonObject): Record<string, unknown> {
  const shape = model.operations[operation]?.input;
  if (shape === undefined) return {};
  const reading = new Reading(model);
  const value = reading.value(shape, input, "") as Record<string, unknown>;
  const { clauses } = reading;
  if (clauses.length === 0) return value;
  const count = `${clauses.length} validation error${clauses.length > 1 ? "s" : ""} detected`;
  throw validationFault(`${count}: ${clauses.join("; ")}`);
}

interface NamedText {
  readonly shape: Extract<Shape, { type: "string" }>;
  readonly name: string;
}
/** Where recorded answers list an enumeration in another order than the model. */
const SHOWN_ORDER: Readonly<Record<string, readonly string[]>> = {
  MacAlgorithmSpec: ["HMAC_SHA_384", "HMAC_SHA_256", "HMAC_SHA_224", "HMAC_SHA_512"],
};

type Structure = Extract<Shape, { type: "structure" }>;

class Reading {
  readonly clauses: string[] = [];
  readonly #model: ServiceModel;
  constructor(model: ServiceModel) {
    this.#model = model;
  }

  value(name: string, value: Json, path: string): unknown {
    const shape = shapeOf(this.#model, name);
    switch (shape.type) {
      case "string":
        return this.#string({ shape, name }, value, path);
      case "blob": {
        const bytes = decodeBase64(value);
        this.#range("Value", bytes.length, path, shape);
        return bytes;
      }
      case "boolean":
        if (typeof value !== "boolean") throw wrongType(value, "Boolean");
        return value;
      case "integer":
      case "long":
        if (typeof value !== "number" || !Number.isInteger(value)) throw wrongType(value, "Integer");
        this.#range(`Value '${value}'`, value, path, shape, "value");
        return value;
      case "float":
      case "double":
        if (typeof value !== "number") throw wrongType(value, "Float");
        this.#range(`Value '${value}'`, value, path, shape, "value");
        return value;
      case "timestamp":
        return readTimestamp(value);
      case "list":
        return this.#list(shape, value, path);
      case "map":
        return this.#map(shape, value, path);
      case "structure":
        return this.#structure(shape, value, path);
      default:
        throw shape satisfies never;
    }
  }

  #structure(shape: Structure, value: Json, path: string): Record<string, unknown> {
    if (!isJsonObject(value)) throw wrongType(value, "Structure");
    const result: Record<string, unknown> = {};
    for (const [name, member] of Object.entries(shape.members)) {
      const at = `${path === "" ? "" : `${path}.`}${name.charAt(0).toLowerCase()}${name.slice(1)}`;
      const given = value[name] ?? null;
      if (given !== null) result[name] = this.value(member, given, at);
      else if (shape.required?.includes(name)) this.#fails("Value null", at, "Member must not be null");
    }
    return result;
  }

  #list(shape: Extract<Shape, { type: "list" }>, value: Json, path: string): unknown[] {
    if (!isJsonArray(value)) throw wrongType(value, "List");
    this.#range("Value", value.length, path, shape);
    return value.map((item, index) => this.value(shape.member, item, `${path}.${index + 1}.member`));
  }

  #map(shape: Extract<Shape, { type: "map" }>, value: Json, path: string): Record<string, unknown> {
    if (!isJsonObject(value)) throw wrongType(value, "Map");
    this.#range("Value", Object.keys(value).length, path, shape);
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        this.value(shape.key, key, `${path}.key`);
        return [key, this.value(shape.value, item, `${path}.${quoted(key)}.member`)];
      }),
    );
  }

  #string({ shape, name }: NamedText, value: Json, path: string): string {
    if (typeof value !== "string") throw wrongType(value, "String");
    const shown = shape.sensitive ? "Value" : `Value '${quoted(value)}'`;
    this.#range(shown, value.length, path, shape);
    if (shape.pattern !== undefined && !patternOf(shape.pattern).test(value))
      this.#fails(shown, path, `Member must satisfy regular expression pattern: ${shape.pattern}`);
    if (shape.enum && !shape.enum.includes(value))
      this.#fails(shown, path, `Member must satisfy enum value set: [${(SHOWN_ORDER[name] ?? shape.enum).join(", ")}]`);
    return value;
  }

  #range(shown: string, measure: number, path: string, { min, max }: Shape, what: "length" | "value" = "length"): void {
    if (min !== undefined && measure < min)
      this.#fails(shown, path, `Member must have ${what} greater than or equal to ${min}`);
    if (max !== undefined && measure > max)
      this.#fails(shown, path, `Member must have ${what} less than or equal to ${max}`);
  }

  #fails(shown: string, path: string, constraint: string): void {
    this.clauses.push(`${shown} at '${path}' failed to satisfy constraint: ${constraint}`);
  }
}

const QUOTED_MAX = 1_024;

function quoted(text: string): string {
  return text.length > QUOTED_MAX ? `${text.slice(0, QUOTED_MAX)}…` : text;
}

const patterns = new Map<string, RegExp>();

/** The whole text must match, as Smithy's servers have it; the patterns are the model's, so their number is bounded. */
function patternOf(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known) return known;
  const compiled = new RegExp(`^(?:${pattern})$`, pattern.includes("\\p{") ? "su" : "s");
  patterns.set(pattern, compiled);
  return compiled;
}

/** Seconds since 1970 (JSON), or ISO 8601 (Query). */
function readTimestamp(value: Json): Date {
  const time = typeof value === "number" ? new Date(value * 1000) : typeof value === "string" ? new Date(value) : null;
  if (!time || Number.isNaN(time.getTime())) throw wrongType(value, "Timestamp");
  return time;
}

function decodeBase64(value: Json): Uint8Array {
  if (typeof value !== "string") throw wrongType(value, "Blob");
  const bytes = Buffer.from(value, "base64");
  // Buffer skips what it does not know; only the text it would write itself has one meaning.
  if (bytes.toString("base64") !== value) throw serializationFault("a blob must be padded base64");
  return Uint8Array.from(bytes);
}

function wrongType(value: Json, wanted: string): Error {
  const came =
    value === null ? "NULL" : isJsonArray(value) ? "LIST" : typeof value === "object" ? "STRUCTURE" : typeof value;
  return serializationFault(`${came.toUpperCase()}_VALUE can not be converted to ${wanted}`);
}
