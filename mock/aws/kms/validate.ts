/**
 * Checks an operation's input against its shape, in AWS's words: the wrong JSON type is a SerializationException, a
 * broken limit is one clause of a ValidationException, and all clauses come together.
 *
 * Members that the shape does not have are ignored, as AWS does. `null` is absent. Secret values are never quoted.
 *
 * @module
 */
import { serializationFault, validationFault } from "../fault.ts";
import { isJsonArray, isJsonObject, type Json, type JsonObject } from "../json.ts";

interface Required {
  readonly required?: boolean;
}
interface Length {
  readonly min?: number;
  readonly max?: number;
}
export type Member = Required &
  (
    | ({ readonly kind: "string"; readonly pattern?: string; readonly values?: readonly string[] } & Length)
    | ({ readonly kind: "blob" | "integer" } & Length)
    | ({ readonly kind: "strings"; readonly maxItems: number } & Length)
    | { readonly kind: "boolean" | "map" | "list" }
    | { readonly kind: "structure"; readonly members: Shape }
  );
export interface Shape {
  readonly [member: string]: Member;
}

/** The input with blobs decoded and absent members left out; `Input` is the shape's own interface. */
export function validate<Input>(shape: Shape, input: JsonObject): Input {
  const clauses: string[] = [];
  const value = readStructure(shape, input, "", clauses);
  if (clauses.length > 0) {
    const count = `${clauses.length} validation error${clauses.length > 1 ? "s" : ""} detected`;
    throw validationFault(`${count}: ${clauses.join("; ")}`);
  }
  return value as Input; // the shape table and the interface beside it are kept as one
}

function readStructure(shape: Shape, input: JsonObject, prefix: string, clauses: string[]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(shape)) {
    const path = `${prefix}${name.charAt(0).toLowerCase()}${name.slice(1)}`;
    const value = input[name] ?? null;
    if (value !== null) result[name] = readMember(member, value, path, clauses);
    else if (member.required) clauses.push(clause("Value null", path, "Member must not be null"));
  }
  return result;
}

function readMember(member: Member, value: Json, path: string, clauses: string[]): unknown {
  switch (member.kind) {
    case "string":
      return readString(member, value, path, clauses);
    case "blob": {
      const bytes = decodeBase64(value);
      checkRange("Value", bytes.length, path, member, "length", clauses);
      return bytes;
    }
    case "integer":
      if (typeof value !== "number" || !Number.isInteger(value)) throw wrongType(value, "Integer");
      checkRange(`Value '${value}'`, value, path, member, "value", clauses);
      return value;
    case "boolean":
      if (typeof value !== "boolean") throw wrongType(value, "Boolean");
      return value;
    case "map":
      if (!isJsonObject(value)) throw wrongType(value, "Map");
      for (const entry of Object.values(value)) if (typeof entry !== "string") throw wrongType(entry, "String");
      return value;
    case "list":
      if (!isJsonArray(value)) throw wrongType(value, "List");
      return value;
    case "strings":
      return readStrings(member, value, path, clauses);
    case "structure":
      if (!isJsonObject(value)) throw wrongType(value, "Structure");
      return readStructure(member.members, value, `${path}.`, clauses);
    default:
      throw member satisfies never;
  }
}

function readString(member: Extract<Member, { kind: "string" }>, value: Json, path: string, clauses: string[]): string {
  if (typeof value !== "string") throw wrongType(value, "String");
  const shown = `Value '${value}'`;
  checkRange(shown, value.length, path, member, "length", clauses);
  if (member.pattern !== undefined && !new RegExp(`^(?:${member.pattern})$`).test(value))
    clauses.push(clause(shown, path, `Member must satisfy regular expression pattern: ${member.pattern}`));
  if (member.values && !member.values.includes(value))
    clauses.push(clause(shown, path, `Member must satisfy enum value set: [${member.values.join(", ")}]`));
  return value;
}

function readStrings(
  member: Extract<Member, { kind: "strings" }>,
  value: Json,
  path: string,
  clauses: string[],
): readonly string[] {
  if (!isJsonArray(value)) throw wrongType(value, "List");
  checkRange("Value", value.length, path, { max: member.maxItems }, "length", clauses);
  return value.map((item, index) => {
    if (typeof item !== "string") throw wrongType(item, "String");
    checkRange("Value", item.length, `${path}.${index + 1}.member`, member, "length", clauses);
    return item;
  });
}

function checkRange(
  shown: string,
  measure: number,
  path: string,
  { min = 0, max = Number.POSITIVE_INFINITY }: Length,
  what: "length" | "value",
  clauses: string[],
): void {
  if (measure < min) clauses.push(clause(shown, path, `Member must have ${what} greater than or equal to ${min}`));
  if (measure > max) clauses.push(clause(shown, path, `Member must have ${what} less than or equal to ${max}`));
}

function clause(shown: string, path: string, constraint: string): string {
  return `${shown} at '${path}' failed to satisfy constraint: ${constraint}`;
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
