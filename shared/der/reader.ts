/**
 * Reads DER, and nothing that is merely BER.
 *
 *   one-byte tags · definite, minimal lengths · every value consumed to its end
 *
 * A `DerReader` walks the content of one constructed value: each `read` names the tag that must come next, `end`
 * refuses anything left over. Values are views of the input, so what was signed is what is read.
 *
 * Source: ITU-T X.690 §8, §10, §11; RFC 5280 §4.1.
 *
 * @module
 */
import { EncodingError } from "../errors/encoding.ts";

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One value: its whole encoding and its content. */
export interface Der {
  readonly tag: number;
  readonly raw: Uint8Array;
  readonly content: Uint8Array;
}

export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** The tag that comes next, or -1 at the end. */
  get nextTag(): number {
    return this.#bytes[this.#offset] ?? -1;
  }

  /** @throws {EncodingError} another tag, or not DER */
  read(tag: number): Der {
    const start = this.#offset;
    const found = this.nextTag;
    if (found !== tag) throw this.malformed(`expected tag 0x${tag.toString(16)}, found ${hex(found)}`);
    const { length, headerBytes } = this.#length();
    const contentAt = start + headerBytes;
    if (length > this.#bytes.length - contentAt) throw this.malformed("a value is longer than its container");
    this.#offset = contentAt + length;
    return {
      tag,
      raw: this.#bytes.subarray(start, this.#offset),
      content: this.#bytes.subarray(contentAt, this.#offset),
    };
  }

  /** A reader over the content of the value that comes next. */
  enter(tag: number): DerReader {
    return new DerReader(this.read(tag).content);
  }

  /** @throws {EncodingError} something is left */
  end(): void {
    if (!this.isAtEnd) throw this.malformed("nothing may follow here");
  }

  malformed(rule: string): EncodingError {
    return new EncodingError("ERR_ASN1_MALFORMED", { offset: this.#offset, rule });
  }

  #length(): { length: number; headerBytes: number } {
    const first = this.#bytes[this.#offset + 1];
    if (first === undefined) throw this.malformed("the input ends in the middle of a value");
    if (first < 0x80) return { length: first, headerBytes: 2 };
    const size = first & 0x7f;
    // X.690 §10.1: definite form only. Four length bytes are more than any certificate or message here needs.
    if (size === 0 || size > 4) throw this.malformed("the length must be definite and at most 32 bits");
    let length = 0;
    for (let i = 0; i < size; i++) {
      const byte = this.#bytes[this.#offset + 2 + i];
      if (byte === undefined) throw this.malformed("the input ends in the middle of a value");
      length = length * 256 + byte;
    }
    if (length < 0x80 || length < 256 ** (size - 1)) throw this.malformed("the length must take its shortest form");
    return { length, headerBytes: 2 + size };
  }
}

function hex(tag: number): string {
  return tag < 0 ? "the end" : `0x${tag.toString(16)}`;
}

/** The content of an INTEGER that is not negative, without its sign byte. */
export function unsignedInteger(reader: DerReader): Uint8Array {
  const { content } = reader.read(TAG.integer);
  const [first = -1, second = 0xff] = content;
  if (content.length === 0) throw reader.malformed("an INTEGER has content");
  if (first >= 0x80) throw reader.malformed("the INTEGER must not be negative");
  if (first === 0 && content.length > 1 && second < 0x80) throw reader.malformed("an INTEGER takes its shortest form");
  return first === 0 && content.length > 1 ? content.subarray(1) : content;
}

/** The content of an OBJECT IDENTIFIER: one arc or more, each whole and in its shortest form (X.690 §8.19.2). */
export function objectIdentifier(reader: DerReader): Uint8Array {
  const { content } = reader.read(TAG.oid);
  const isWhole = (content.at(-1) ?? 0x80) < 0x80;
  const isPadded = content.some((byte, index) => byte === 0x80 && (content[index - 1] ?? 0) < 0x80);
  if (!isWhole || isPadded) throw reader.malformed("an OBJECT IDENTIFIER has whole arcs in their shortest form");
  return content;
}

/** A BOOLEAN; DER knows 00 and ff only. */
export function boolean(reader: DerReader): boolean {
  const { content } = reader.read(TAG.boolean);
  if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff)) {
    throw reader.malformed("a BOOLEAN is 00 or ff");
  }
  return content[0] === 0xff;
}

/** The bytes of a BIT STRING that holds whole octets. */
export function octetAlignedBits(reader: DerReader): Uint8Array {
  const { content } = reader.read(TAG.bitString);
  if (content[0] !== 0) throw reader.malformed("the BIT STRING must hold whole octets");
  return content.subarray(1);
}
