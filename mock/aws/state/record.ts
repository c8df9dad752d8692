/**
 * Rows as text, and back: JSON, with the two types that it lacks.
 *
 *   Date         {"$date": milliseconds}
 *   Uint8Array   {"$bytes": base64}
 *   "$name"      a member whose own name begins with $ is written with one more
 *
 * Anything else than plain data (undefined, NaN, a bigint, a Map, an object of a class) is a programmer's mistake and
 * refused where the row is written. What is read was authenticated before; it is checked all the same.
 *
 *   batch   [[table, id, [sequence, row]], …], with null in place of a row that was deleted
 *
 * @module
 */
import { StateError } from "../../../shared/errors/state.ts";

/** A row and its place in its table: `sequence` grows with each row that is new. */
export interface Entry {
  readonly sequence: number;
  readonly row: object;
}

/** A change as it waits to be written; `text` is what `encodeEntry` gave, nothing for a deletion. */
export interface Change {
  readonly table: string;
  readonly id: string;
  readonly text: string | undefined;
}

export interface DecodedChange {
  readonly table: string;
  readonly id: string;
  readonly entry: Entry | undefined;
}

const DEPTH_MAX = 64;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** @throws {TypeError} the row is not plain data; names the member */
export function encodeEntry({ sequence, row }: Entry): string {
  if (!isPlain(row)) throw new TypeError("a row is a plain object");
  return JSON.stringify([sequence, escapeObject(row, { path: "row", depth: 0 })]);
}

export function encodeBatch(changes: readonly Change[]): Uint8Array {
  const rows = changes.map(({ table, id, text }) => `[${JSON.stringify(table)},${JSON.stringify(id)},${text ?? null}]`);
  return encoder.encode(`[${rows.join(",\n")}]`);
}

/** @throws {StateError} `ERR_STATE_MALFORMED` */
export function decodeBatch(bytes: Uint8Array): readonly DecodedChange[] {
  let batch: unknown;
  try {
    batch = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new StateError("ERR_STATE_MALFORMED", { part: "batch", rule: "it is JSON" }, { cause });
  }
  if (!Array.isArray(batch)) throw malformed("batch", "it is an array");
  return batch.map(decodeChange);
}

function decodeChange(change: unknown): DecodedChange {
  if (!Array.isArray(change) || change.length !== 3) throw malformed("batch", "a change has three parts");
  const [table, id, value] = change as unknown[];
  if (typeof table !== "string" || typeof id !== "string") throw malformed("batch", "a change names table and row");
  if (value === null) return { table, id, entry: undefined };
  if (!Array.isArray(value) || value.length !== 2) throw malformed(table, "a row has a place and a value");
  const [sequence, row] = value as unknown[];
  if (!Number.isSafeInteger(sequence) || (sequence as number) < 0) throw malformed(table, "a place is a number");
  const revived = revive(row);
  if (!isPlain(revived)) throw malformed(table, "a row is an object");
  return { table, id, entry: { sequence: sequence as number, row: Object.freeze(revived) } };
}

interface Place {
  readonly path: string;
  readonly depth: number;
}

/** The value as JSON can write it: itself, where nothing in it needs another form. */
function escapeValue(value: unknown, { path, depth }: Place): unknown {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (depth > DEPTH_MAX) throw new TypeError(`${path} nests deeper than ${DEPTH_MAX}`);
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { $date: value.getTime() };
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    // Not `map`, which would skip a hole.
    return Array.from(items, (item, i) => escapeValue(item, { path: `${path}[${i}]`, depth: depth + 1 }));
  }
  if (isPlain(value)) return escapeObject(value, { path, depth });
  throw new TypeError(`${path} is not plain data: ${typeof value}`);
}

function escapeObject(value: object, { path, depth }: Place): object {
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.startsWith("$") ? `$${name}` : name,
      escapeValue(member, { path: `${path}.${name}`, depth: depth + 1 }),
    ]),
  );
}

/** What `escapeValue` was given. Changes what it is given: it was parsed a moment ago and nobody else has it. */
function revive(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) value[i] = revive(item);
    return value;
  }
  const names = Object.keys(value);
  if (names.some((name) => name.startsWith("$"))) return reviveMarked(value, names);
  const members = value as Record<string, unknown>;
  for (const name of names) {
    const member = members[name];
    if (typeof member === "object") members[name] = revive(member);
  }
  return value;
}

function reviveMarked(value: object, names: readonly string[]): unknown {
  const members = Object.entries(value as Record<string, unknown>);
  const [, only] = members[0] ?? [];
  if (names.length === 1 && names[0] === "$bytes") return reviveBytes(only);
  if (names.length === 1 && names[0] === "$date") return reviveDate(only);
  return Object.fromEntries(
    members.map(([name, member]) => {
      if (name.startsWith("$") && !name.startsWith("$$")) throw malformed("row", "only known marks begin with $");
      return [name.startsWith("$") ? name.slice(1) : name, revive(member)];
    }),
  );
}

function reviveBytes(text: unknown): Uint8Array {
  if (typeof text !== "string") throw malformed("row", "bytes are base64");
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw malformed("row", "bytes are base64");
  return Uint8Array.from(bytes);
}

function reviveDate(time: unknown): Date {
  const date = new Date(typeof time === "number" ? time : Number.NaN);
  if (Number.isNaN(date.getTime())) throw malformed("row", "a date is a time in milliseconds");
  return date;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function malformed(part: string, rule: string): StateError {
  return new StateError("ERR_STATE_MALFORMED", { part, rule });
}
