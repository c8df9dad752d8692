/**
 * `image.lock.json`: the SHA-256 of every input of an image that npm's own lock does not cover.
 *
 *   {"version": 1, "images": {"<platform>/<architecture>": {"<input>": {"version", "size", "sha256"}}}}
 *
 * The text is written the same way each time, so that a change of it is a change of an input.
 *
 * @module
 */
import { EifError } from "../shared/errors/eif.ts";
import type { Pin, Pins } from "./inputs.ts";

/** Pins by image, such as `nitro/x86_64`. */
export type ImageLock = Readonly<Record<string, Pins>>;

const VERSION = 1;
const BYTES_MAX = 1024 * 1024;

/**
 * @param label names the file in errors
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function parseLock(bytes: Uint8Array, label: string): ImageLock {
  const { version, images, ...rest } = parseRecord(bytes, label);
  if (version !== VERSION) throw invalid(label, `is of version ${VERSION}`);
  if (Object.keys(rest).length > 0) throw invalid(label, "has a version and images, nothing else");
  return mapRecord(images, label, (pins, name) => parsePins(pins, `${label}, ${name}`));
}

/** @throws {EifError} `ERR_EIF_INPUT` */
export function parsePins(value: unknown, label: string): Pins {
  return mapRecord(value, label, (pin, name) => parsePin(pin, `${label}, ${name}`));
}

function parsePin(value: unknown, label: string): Pin {
  if (!isRecord(value)) throw invalid(label, "is an object");
  const { version, size, sha256, ...rest } = value;
  if (Object.keys(rest).length > 0) throw invalid(label, "has version, size and sha256, nothing else");
  if (version !== undefined && typeof version !== "string") throw invalid(label, "its version is text");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw invalid(label, "its size is a number");
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw invalid(label, "its sha256 is 64 hex digits");
  return { ...(version !== undefined && { version }), size, sha256 };
}

/** The lock with one image's pins replaced; a version that nobody gave now stays as it was. */
export function updateLock(lock: ImageLock, image: string, pins: Pins): ImageLock {
  const before = Object.hasOwn(lock, image) ? lock[image] : {};
  const merged = Object.entries(pins).map(([name, pin]) => {
    const version = pin.version ?? before?.[name]?.version;
    return [name, { ...(version !== undefined && { version }), size: pin.size, sha256: pin.sha256 }] as const;
  });
  return { ...lock, [image]: Object.fromEntries(merged) };
}

export function writeLock(lock: ImageLock): string {
  const sorted = <Value>(record: Readonly<Record<string, Value>>): [string, Value][] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  const images = Object.fromEntries(sorted(lock).map(([image, pins]) => [image, Object.fromEntries(sorted(pins))]));
  return `${JSON.stringify({ version: VERSION, images }, null, 2)}\n`;
}

/** A JSON object in a small file. @throws {EifError} `ERR_EIF_INPUT` */
export function parseRecord(bytes: Uint8Array, label: string): Readonly<Record<string, unknown>> {
  const value = parseSmallJson(bytes, label);
  if (!isRecord(value)) throw invalid(label, "is a JSON object");
  return value;
}

/** Any JSON in a small file. @throws {EifError} `ERR_EIF_INPUT` */
export function parseSmallJson(bytes: Uint8Array, label: string): unknown {
  if (bytes.length > BYTES_MAX) throw invalid(label, `has at most ${BYTES_MAX} bytes`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new EifError("ERR_EIF_INPUT", { input: label, rule: "is JSON in UTF-8" }, { cause });
  }
}

function mapRecord<Value>(
  value: unknown,
  label: string,
  parse: (value: unknown, name: string) => Value,
): Readonly<Record<string, Value>> {
  if (!isRecord(value)) throw invalid(label, "is an object");
  if (Object.hasOwn(value, "__proto__")) throw invalid(label, "has no __proto__");
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, parse(each, name)]));
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(input: string, rule: string): EifError {
  return new EifError("ERR_EIF_INPUT", { input, rule });
}
