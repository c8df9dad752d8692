/**
 * Writes CBOR in shortest form: the few types that NSM messages and documents use.
 *
 * Encoding only; hostile bytes never come here. A `Map` keeps its order, as NSM keeps its own.
 *
 * Source: RFC 8949 §3, §4.2.1 (shortest heads).
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";

export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<string | number, CborValue>
  | IndefiniteMap;

/** A map written as `bf … ff`, the form of the payload in documents since mid-2025. */
export class IndefiniteMap {
  readonly entries: ReadonlyMap<string | number, CborValue>;
  constructor(entries: ReadonlyMap<string | number, CborValue>) {
    this.entries = entries;
  }
}

function head(major: number, argument: number | bigint): Uint8Array {
  const value = BigInt(argument);
  const type = major << 5;
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`not a CBOR argument: ${value}`);
  if (value < 24n) return Uint8Array.of(type | Number(value));
  const size = value < 0x100n ? 1 : value < 0x1_0000n ? 2 : value < 0x1_0000_0000n ? 4 : 8;
  const out = new Uint8Array(1 + size);
  out[0] = type | (24 + Math.log2(size));
  for (let i = 0; i < size; i++) out[size - i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return out;
}

function entries(map: ReadonlyMap<string | number, CborValue>): Uint8Array[] {
  return [...map].flatMap(([key, value]) => [encodeCbor(key), encodeCbor(value)]);
}

/** @throws {RangeError} a number that is not an integer, or does not fit 64 bits */
export function encodeCbor(value: CborValue): Uint8Array {
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (typeof value === "number" || typeof value === "bigint") {
    if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError(`not an integer: ${value}`);
    const integer = BigInt(value);
    return integer >= 0n ? head(0, integer) : head(1, -1n - integer);
  }
  if (typeof value === "string") return concat(head(3, utf8(value).length), utf8(value));
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (value instanceof IndefiniteMap)
    return concat(Uint8Array.of(0xbf), ...entries(value.entries), Uint8Array.of(0xff));
  if (isArray(value)) return concat(head(4, value.length), ...value.map(encodeCbor));
  return concat(head(5, value.size), ...entries(value));
}

function isArray(value: readonly CborValue[] | ReadonlyMap<string | number, CborValue>): value is readonly CborValue[] {
  return Array.isArray(value);
}
