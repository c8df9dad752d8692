/**
 * Writes CBOR that the product's own writer refuses to write: duplicate keys, long heads, indefinite lengths, and bytes
 * as they are.
 *
 * @module
 */
import { concat } from "../../shared/bytes.ts";
import { type CborValue, encodeCbor } from "../../shared/cbor/encode.ts";

/** An item that is written already. */
export class Raw {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

export type Forged = CborValue | Raw | readonly Forged[] | ReadonlyMap<Forged, Forged>;

/** The same, with maps and arrays of the outermost level in indefinite length. */
export function forgeIndefinite(value: readonly Forged[] | ReadonlyMap<Forged, Forged>): Uint8Array {
  const major = value instanceof Map ? 0xbf : 0x9f;
  return concat(Uint8Array.of(major), ...itemsOf(value), Uint8Array.of(0xff));
}

export function forge(value: Forged): Uint8Array {
  if (value instanceof Raw) return value.bytes;
  if (!Array.isArray(value) && !(value instanceof Map)) return encodeCbor(value as CborValue);
  const count = value instanceof Map ? value.size : value.length;
  const head = encodeCbor(count);
  head[0] = (head[0] ?? 0) | (value instanceof Map ? 0xa0 : 0x80);
  return concat(head, ...itemsOf(value));
}

function itemsOf(value: readonly Forged[] | ReadonlyMap<Forged, Forged>): Uint8Array[] {
  return (value instanceof Map ? [...value].flat() : [...(value as readonly Forged[])]).map((item) => forge(item));
}

/** An item whose head is written with more bytes than it needs. */
export function longHead(value: CborValue, size: 1 | 2 | 4 | 8): Raw {
  const short = encodeCbor(value);
  const [first = 0] = short;
  const argument = first & 0x1f;
  if (argument > 23) throw new RangeError("only heads of one byte are lengthened");
  const head = new Uint8Array(1 + size);
  head[0] = (first & 0xe0) | (24 + Math.log2(size));
  head[size] = argument;
  return new Raw(concat(head, short.subarray(1)));
}
