/**
 * Reads JSON that a hostile peer wrote, in the strict form that frames carry.
 *
 *   1. UTF-8    without a fault, without a byte order mark
 *   2. gate     depth, no key twice in an object, no `__proto__`, no number beyond a double, a bounded number of keys
 *   3. parse    `JSON.parse`; by then the text has one meaning
 *
 * An error names the rule and never quotes the text: it may hold secrets, and so may the message of `SyntaxError`, which
 * for that reason is not kept as the cause.
 *
 * Source: RFC 8259 §4, §6, §8.1.
 *
 * @module
 */
import { TransportError } from "../errors/transport.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const JSON_DEPTH_MAX = 32;
export const JSON_KEYS_MAX = 10_000;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function invalid(rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule });
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_FRAME_INVALID`
 */
export function parseJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw invalid("the payload is UTF-8");
  }
  new Gate(text).run();
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw invalid("the payload is JSON");
  }
}

export function isJsonObject(value: unknown): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Walks the text once. It need only be right about valid JSON: `JSON.parse` refuses the rest. */
class Gate {
  readonly #text: string;
  /** One entry for each open bracket: the keys so far of an object, nothing for an array. */
  readonly #open: (Set<string> | undefined)[] = [];
  #keys = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    const text = this.#text;
    for (let at = 0; at < text.length; at++) {
      const char = text[at];
      if (char === "{") this.#enter(new Set());
      else if (char === "[") this.#enter(undefined);
      else if (char === "}" || char === "]") this.#open.pop();
      else if (char === '"') at = this.#string(at);
      else if (char === "-" || (char !== undefined && char >= "0" && char <= "9")) at = this.#number(at);
    }
  }

  #enter(keys: Set<string> | undefined): void {
    if (this.#open.length >= JSON_DEPTH_MAX) throw invalid(`JSON nests at most ${JSON_DEPTH_MAX} deep`);
    this.#open.push(keys);
  }

  /** Passes a string that opens at `start` and gives the place of its closing quote. */
  #string(start: number): number {
    const text = this.#text;
    let end = start + 1;
    while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    let after = end + 1;
    while (" \t\r\n".includes(text[after] ?? "x")) after++;
    if (text[after] === ":") this.#key(text.slice(start, end + 1));
    return end;
  }

  #key(quoted: string): void {
    let key: string;
    try {
      key = JSON.parse(quoted) as string;
    } catch {
      throw invalid("the payload is JSON");
    }
    if (key === "__proto__") throw invalid("no key is __proto__");
    if (++this.#keys > JSON_KEYS_MAX) throw invalid(`JSON has at most ${JSON_KEYS_MAX} keys`);
    const keys = this.#open.at(-1);
    if (keys?.has(key)) throw invalid("no key comes twice in an object");
    keys?.add(key);
  }

  #number(start: number): number {
    let end = start;
    while (end < this.#text.length && "+-.0123456789eE".includes(this.#text[end] ?? "x")) end++;
    if (!Number.isFinite(Number(this.#text.slice(start, end)))) throw invalid("a number fits a double");
    return end - 1;
  }
}
