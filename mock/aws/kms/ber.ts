/**
 * Writes ASN.1: definite lengths (DER) and, as KMS does for its outer layers, indefinite ones (BER).
 *
 * Writing only, and not shared with any reader of this toolkit: two halves of one mistake would agree with each other.
 *
 * Source: X.690 §8.1.3 (lengths), §8.19 (object identifiers).
 *
 * @module
 */
import { concat } from "../../../shared/bytes.ts";

export const TAG = {
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[number]`, constructed. */
export function contextConstructed(number: number): number {
  return 0xa0 | number;
}

/** `[number]`, primitive. */
export function contextPrimitive(number: number): number {
  return 0x80 | number;
}

/** One element of definite length. */
export function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(...content);
  return concat(Uint8Array.of(tag), lengthOctets(body.length), body);
}

/** One constructed element of indefinite length, closed by end-of-contents. */
export function indefinite(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  return concat(Uint8Array.of(tag, 0x80), ...content, Uint8Array.of(0, 0));
}

/** A non-negative integer below 128: versions and tag lengths. */
export function smallInteger(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 127) throw new RangeError(`not a small integer: ${value}`);
  return element(TAG.integer, Uint8Array.of(value));
}

export function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(TAG.objectIdentifier, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(value: number): readonly number[] {
  const digits = [value & 0x7f];
  for (let left = value >>> 7; left > 0; left >>>= 7) digits.unshift(0x80 | (left & 0x7f));
  return digits;
}

function lengthOctets(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const octets: number[] = [];
  for (let left = length; left > 0; left >>>= 8) octets.unshift(left & 0xff);
  return Uint8Array.of(0x80 | octets.length, ...octets);
}
