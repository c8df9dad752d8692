/**
 * Reads BER, since KMS answers in it: indefinite lengths, constructed strings. A tree of nodes, bounded in every way.
 *
 * Source: ITU-T X.690 §8.1.
 *
 * @module
 */
import { EncodingError } from "../errors/encoding.ts";

export interface BerNode {
  readonly tag: number;
  /** Content of a primitive value; empty for a constructed one. */
  readonly content: Uint8Array;
  /** What a constructed value holds; `undefined` for a primitive one. */
  readonly children: readonly BerNode[] | undefined;
}

const CONSTRUCTED = 0x20;
const DEPTH_MAX = 10;
const NODES_MAX = 256;

/** @throws {EncodingError} `ERR_ASN1_MALFORMED` */
export function readBer(bytes: Uint8Array): BerNode {
  const reader = new BerReader(bytes);
  const { node, next } = reader.node(0, bytes.length, 0);
  if (next !== bytes.length) throw malformed(next, "nothing may follow the message");
  return node;
}

function malformed(offset: number, rule: string): EncodingError {
  return new EncodingError("ERR_ASN1_MALFORMED", { offset, rule });
}

interface Read {
  readonly node: BerNode;
  readonly next: number;
}

class BerReader {
  readonly #bytes: Uint8Array;
  #nodes = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  node(offset: number, end: number, depth: number): Read {
    if (depth > DEPTH_MAX) throw malformed(offset, `nests deeper than ${DEPTH_MAX}`);
    if (++this.#nodes > NODES_MAX) throw malformed(offset, `holds more than ${NODES_MAX} values`);
    const tag = this.#byte(offset, end);
    if ((tag & 0x1f) === 0x1f) throw malformed(offset, "a tag has one byte");
    if (tag === 0) throw malformed(offset, "end-of-contents without a beginning");
    const isConstructed = (tag & CONSTRUCTED) !== 0;
    const first = this.#byte(offset + 1, end);
    if (first === 0x80) {
      if (!isConstructed) throw malformed(offset, "a primitive value has a definite length");
      return this.#indefinite(tag, offset + 2, end, depth);
    }
    const { length, contentAt } = this.#definite(first, offset, end);
    const next = contentAt + length;
    if (!isConstructed)
      return { node: { tag, content: this.#bytes.subarray(contentAt, next), children: undefined }, next };
    const children: BerNode[] = [];
    for (let at = contentAt; at < next; ) {
      const child = this.node(at, next, depth + 1);
      children.push(child.node);
      at = child.next;
    }
    return { node: { tag, content: new Uint8Array(0), children }, next };
  }

  #indefinite(tag: number, start: number, end: number, depth: number): Read {
    const children: BerNode[] = [];
    let at = start;
    while (this.#byte(at, end) !== 0) {
      const child = this.node(at, end, depth + 1);
      children.push(child.node);
      at = child.next;
    }
    if (this.#byte(at + 1, end) !== 0) throw malformed(at, "end-of-contents is two zero bytes");
    return { node: { tag, content: new Uint8Array(0), children }, next: at + 2 };
  }

  #definite(first: number, offset: number, end: number): { length: number; contentAt: number } {
    const size = first < 0x80 ? 0 : first & 0x7f;
    if (size > 4) throw malformed(offset, "a length has at most 32 bits");
    let length = size === 0 ? first : 0;
    for (let i = 0; i < size; i++) length = length * 256 + this.#byte(offset + 2 + i, end);
    const contentAt = offset + 2 + size;
    if (length > end - contentAt) throw malformed(offset, "a value is longer than its container");
    return { length, contentAt };
  }

  #byte(offset: number, end: number): number {
    const byte = offset < end ? this.#bytes[offset] : undefined;
    if (byte === undefined) throw malformed(offset, "the input ends in the middle of a value");
    return byte;
  }
}
