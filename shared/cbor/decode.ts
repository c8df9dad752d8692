/**
 * Reads CBOR in the one strict form that NSM writes.
 *
 *   1. gate    well-formed, shortest heads, no duplicate keys, no tags, no floats, bounded depth, no trailing bytes
 *   2. cbor-x  decodes a byte string that by then has one meaning
 *
 * Indefinite length is refused, but for maps and arrays where the caller allows it: documents since mid-2025 open
 * their payload with `bf`. The gate visits each byte once and allocates nothing that a length field asks for.
 *
 * Source: RFC 8949 §3, §4.2.1, §5.6, Appendix F.
 *
 * @module
 */
import { Decoder } from "cbor-x/decode-no-eval";
import { EncodingError } from "../errors/encoding.ts";

/** What the gate lets through: `Map` for maps, `Uint8Array` for byte strings, `bigint` where the head has 64 bits. */
export type Cbor = null | boolean | number | bigint | string | Uint8Array | Cbor[] | Map<string | number, Cbor>;

export interface CborLimits {
  /** How deep arrays and maps may nest. */
  readonly maxDepth: number;
  /** Whether maps and arrays may be written with indefinite length (`bf … ff`, `9f … ff`). Strings never. */
  readonly indefinite: boolean;
}

const decoder = new Decoder({ mapsAsObjects: false, useRecords: false });
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * @throws {EncodingError} `ERR_CBOR_MALFORMED` with the offset and the rule
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits): Cbor {
  const end = new Gate(bytes, limits).item(0, 0);
  if (end !== bytes.length) throw malformed(end, "nothing may follow the item");
  return decoder.decode(bytes) as Cbor;
}

function malformed(offset: number, rule: string): EncodingError {
  return new EncodingError("ERR_CBOR_MALFORMED", { offset, rule });
}

interface Head {
  readonly major: number;
  readonly argument: number | bigint;
  readonly indefinite: boolean;
  readonly next: number;
}

/** Walks the bytes once; each method takes an offset and gives the offset after what it read. */
class Gate {
  readonly #bytes: Uint8Array;
  readonly #limits: CborLimits;

  constructor(bytes: Uint8Array, limits: CborLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  item(offset: number, depth: number): number {
    const head = this.#head(offset);
    switch (head.major) {
      case 0:
      case 1:
        return head.next;
      case 2:
        return this.#string(head);
      case 3:
        return this.#text(head, offset);
      case 4:
        return this.#array(head, depth, offset);
      case 5:
        return this.#map(head, depth, offset);
      case 6:
        throw malformed(offset, "no tags");
      default:
        return this.#simple(head, offset);
    }
  }

  #head(offset: number): Head {
    const initial = this.#bytes[offset];
    if (initial === undefined) throw malformed(offset, "the input ends in the middle of an item");
    const major = initial >> 5;
    const info = initial & 0x1f;
    if (info < 24) return { major, argument: info, indefinite: false, next: offset + 1 };
    if (info === 31) {
      if (major < 2 || major === 6) throw malformed(offset, "integers and tags have no indefinite length");
      return { major, argument: 0, indefinite: true, next: offset + 1 };
    }
    if (info > 27) throw malformed(offset, "additional information 28 to 30 is reserved");
    const size = 1 << (info - 24);
    if (offset + 1 + size > this.#bytes.length) throw malformed(offset, "the input ends in the middle of an item");
    let argument = 0n;
    for (const byte of this.#bytes.subarray(offset + 1, offset + 1 + size)) argument = (argument << 8n) | BigInt(byte);
    // RFC 8949 §4.2.1: shortest form only; NSM always emits it, so anything else is not NSM. Floats are not read at all.
    const least = size === 1 ? 24n : 1n << BigInt(4 * size);
    if (major !== 7 && argument < least) throw malformed(offset, "lengths and integers take their shortest form");
    return { major, argument, indefinite: false, next: offset + 1 + size };
  }

  #string(head: Head): number {
    if (head.indefinite) throw malformed(head.next - 1, "no strings of indefinite length");
    if (BigInt(head.argument) > BigInt(this.#bytes.length - head.next)) {
      throw malformed(head.next, "a string is longer than the input");
    }
    return head.next + Number(head.argument);
  }

  #text(head: Head, offset: number): number {
    const end = this.#string(head);
    // cbor-x drops a byte order mark from long strings and keeps it in short ones: one meaning means none at all.
    if (this.#decode(head.next, end, offset).startsWith("\ufeff")) {
      throw malformed(offset, "text does not begin with a byte order mark");
    }
    return end;
  }

  #decode(from: number, to: number, offset: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(from, to));
    } catch (cause) {
      throw new EncodingError("ERR_CBOR_MALFORMED", { offset, rule: "text is UTF-8" }, { cause });
    }
  }

  #count(head: Head, depth: number, offset: number, perItem: number): number {
    if (depth >= this.#limits.maxDepth) throw malformed(offset, `nests deeper than ${this.#limits.maxDepth}`);
    if (head.indefinite) {
      if (this.#limits.indefinite) return Number.POSITIVE_INFINITY;
      throw malformed(offset, "no indefinite length here");
    }
    // Each item takes a byte at least: a count beyond that is refused before anything is read.
    if (BigInt(head.argument) * BigInt(perItem) > BigInt(this.#bytes.length - head.next)) {
      throw malformed(offset, "more items are announced than the input has bytes");
    }
    return Number(head.argument);
  }

  #array(head: Head, depth: number, offset: number): number {
    const count = this.#count(head, depth, offset, 1);
    let next = head.next;
    for (let i = 0; i < count; i++) {
      if (head.indefinite && this.#bytes[next] === 0xff) return next + 1;
      next = this.item(next, depth + 1);
    }
    return next;
  }

  #map(head: Head, depth: number, offset: number): number {
    const count = this.#count(head, depth, offset, 2);
    const seen = new Set<string>();
    let next = head.next;
    for (let i = 0; i < count; i++) {
      if (head.indefinite && this.#bytes[next] === 0xff) return next + 1;
      const valueAt = this.#key(next, seen);
      next = this.item(valueAt, depth + 1);
    }
    return next;
  }

  /** Reads a key: text or an integer, once in its map. Shortest form makes equal keys equal bytes. */
  #key(offset: number, seen: Set<string>): number {
    const major = (this.#bytes[offset] ?? 0xff) >> 5;
    if (major !== 0 && major !== 1 && major !== 3) throw malformed(offset, "a map key is text or an integer");
    const end = this.item(offset, this.#limits.maxDepth);
    const key = String.fromCharCode(...this.#bytes.subarray(offset, Math.min(end, offset + 1024)));
    if (end - offset > 1024) throw malformed(offset, "a map key has at most 1024 bytes");
    if (seen.has(key)) throw malformed(offset, "a map key comes twice");
    seen.add(key);
    return end;
  }

  #simple(head: Head, offset: number): number {
    const byte = this.#bytes[offset];
    if (byte === 0xf4 || byte === 0xf5 || byte === 0xf6) return head.next;
    throw malformed(offset, byte === 0xff ? "a break stands where an item must" : "only false, true and null");
  }
}
