/**
 * What an operation answers, as awsJson1_1 writes it: bytes in base64, times in seconds, absent members left out.
 *
 * Source: Smithy, "AWS JSON 1.1 protocol", "Shape serialization".
 *
 * @module
 */
import type { Json, JsonObject } from "../json.ts";

export function serializeOutput(output: object): JsonObject {
  const members: [name: string, value: Json][] = [];
  for (const [name, value] of Object.entries(output)) if (value !== undefined) members.push([name, serialize(value)]);
  return Object.fromEntries(members);
}

function serialize(value: unknown): Json {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return value;
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(serialize);
  if (typeof value === "object") return serializeOutput(value);
  throw new TypeError(`an answer holds a ${typeof value}`);
}
