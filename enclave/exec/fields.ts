/**
 * Reads the JSON body of a request to the loopback service: the fields that are known, in their form, and no other.
 *
 * Byte strings are base64 in its one canonical spelling. A refusal names the field and never quotes it.
 *
 * @module
 */
import { ConfigError, isTransportError } from "../../shared/errors/index.ts";
import { isJsonObject, type Json, parseJson } from "../../shared/transport/json.ts";

export interface Size {
  readonly least: number;
  readonly most: number;
}

export class Fields {
  readonly #values: { readonly [key: string]: Json };

  private constructor(values: { readonly [key: string]: Json }) {
    this.#values = values;
  }

  /** @throws {ConfigError} not one JSON object in the strict form, or another field than these */
  static async read(request: Request, known: readonly string[]): Promise<Fields> {
    const values = parse(new Uint8Array(await request.arrayBuffer()));
    for (const field of Object.keys(values)) {
      if (!known.includes(field)) throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: "another", known });
    }
    return new Fields(values);
  }

  text(field: string, pattern: RegExp, expected: string): string {
    const value = this.#values[field];
    if (typeof value === "string" && pattern.test(value)) return value;
    throw refused(field, expected, value);
  }

  bytes(field: string, { least, most }: Size): Uint8Array {
    const value = this.#values[field];
    const expected = `base64 of ${least === most ? least : `${least} to ${most}`} bytes`;
    if (typeof value !== "string") throw refused(field, expected, value);
    const bytes = Buffer.from(value, "base64");
    if (bytes.toString("base64") !== value) throw refused(field, expected, value);
    if (bytes.length < least || bytes.length > most) throw refused(field, expected, value);
    return new Uint8Array(bytes);
  }

  bytesIfThere(field: string, size: Size): Uint8Array | undefined {
    return this.#values[field] === undefined ? undefined : this.bytes(field, size);
  }

  /** An object of texts. */
  texts(field: string): Readonly<Record<string, string>> {
    const value = this.#values[field];
    const expected = "an object of texts, {} for none";
    if (!isJsonObject(value)) throw refused(field, expected, value);
    for (const each of Object.values(value)) if (typeof each !== "string") throw refused(field, expected, each);
    return value as Readonly<Record<string, string>>;
  }
}

function parse(bytes: Uint8Array): { readonly [key: string]: Json } {
  try {
    const value = parseJson(bytes);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    if (!isTransportError(cause)) throw cause;
    throw refused("the body", "one JSON object, in the strict form", "", cause);
  }
  throw refused("the body", "one JSON object, in the strict form", "");
}

function refused(field: string, expected: string, value: unknown, cause?: unknown): ConfigError {
  if (value === undefined) return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected });
  const actual = typeof value === "string" ? "another text" : typeof value;
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual }, { cause });
}
