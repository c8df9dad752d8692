/**
 * Reads JSON in one strict form: requests and policies decide over keys, so a text must have one meaning.
 *
 * Refused beside what RFC 8259 refuses: a byte order mark, bytes that are not UTF-8, a name that stands twice in one
 * object, the name `__proto__`, more than 32 levels. Objects come without a prototype.
 *
 * Source: RFC 8259 §4 (names should be unique), §8.1.
 *
 * @module
 */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

const MAX_DEPTH = 32;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {SyntaxError} not the strict form */
export function parseJson(source: string | Uint8Array): Json {
  const text = typeof source === "string" ? source : decode(source);
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isJsonArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new SyntaxError("not UTF-8", { cause });
  }
}

class Reader {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text;
  }

  end(): void {
    this.#space();
    if (this.#at !== this.#text.length) throw this.#unexpected();
  }

  value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new SyntaxError(`more than ${MAX_DEPTH} levels`);
    this.#space();
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#array(depth);
    if (next === '"') return this.#string();
    return this.#scalar();
  }

  #object(depth: number): JsonObject {
    const object = Object.create(null) as Record<string, Json>;
    this.#list("}", () => {
      this.#space();
      const name = this.#string();
      if (name === "__proto__") throw new SyntaxError("the name __proto__ is refused");
      if (Object.hasOwn(object, name)) throw new SyntaxError("a name stands twice in one object");
      this.#space();
      this.#expect(":");
      object[name] = this.value(depth + 1);
    });
    return object;
  }

  #array(depth: number): Json[] {
    const items: Json[] = [];
    this.#list("]", () => items.push(this.value(depth + 1)));
    return items;
  }

  #list(close: string, item: () => void): void {
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      this.#space();
      if (this.#text[this.#at] === close) break;
      this.#expect(",");
    }
    this.#at++;
  }

  #string(): string {
    if (this.#text[this.#at] !== '"') throw this.#unexpected();
    const start = this.#at++;
    while (this.#text[this.#at] !== '"') {
      if (this.#at >= this.#text.length) throw this.#unexpected();
      this.#at += this.#text[this.#at] === "\\" ? 2 : 1;
    }
    this.#at++;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #scalar(): Json {
    const word = /true|false|null|-?[0-9][-+.eE0-9]*/y;
    word.lastIndex = this.#at;
    const [found] = word.exec(this.#text) ?? [];
    if (found === undefined) throw this.#unexpected();
    this.#at += found.length;
    return JSON.parse(found) as Json;
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) throw this.#unexpected();
    this.#at++;
  }

  #space(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? "")) this.#at++;
  }

  #unexpected(): SyntaxError {
    return new SyntaxError(`unexpected ${this.#at < this.#text.length ? "character" : "end"} at ${this.#at}`);
  }
}
