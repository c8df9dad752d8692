/**
 * The encryption context: pairs bound to a message, and the one form in which they are written.
 *
 *   count (2) · for each pair, sorted by the bytes of its name: length (2) · name · length (2) · value
 *
 * A context is mandatory here: a message that is bound to nothing could be moved to any other place.
 *
 * Source: AWS Encryption SDK specification, data-format/message-header.md "Key Value Pairs".
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";

/** Pairs that are bound to the message in clear: authenticated, logged by CloudTrail, never secret. */
export type EncryptionContext = Readonly<Record<string, string>>;

/** Where the Encryption SDK keeps a signed message's public key; names with its prefix are AWS's. */
export const SIGNER_NAME = "aws-crypto-public-key";
const RESERVED = /^aws-crypto-/;
const MAX_BYTES = 65_535;

/**
 * A copy of the caller's pairs, read once.
 *
 * @throws {RangeError} none, or more than the format holds
 * @throws {TypeError} a name that is AWS's, or a text that UTF-8 can not carry
 */
export function checkContext(given: EncryptionContext): EncryptionContext {
  const pairs = Object.entries(given);
  if (pairs.length === 0) throw new RangeError("the encryption context names one pair or more");
  for (const [name, value] of pairs) {
    if (typeof value !== "string") throw new TypeError(`encryption context ${name}: expected a string`);
    if (name === "" || RESERVED.test(name)) throw new TypeError(`encryption context ${name}: the name is reserved`);
    if (!name.isWellFormed() || !value.isWellFormed()) throw new TypeError("encryption context: not Unicode text");
  }
  const size = serializePairs(pairs).length;
  // A signed message carries its public key beside them.
  if (size > MAX_BYTES - 256)
    throw new RangeError(`the encryption context has ${size} bytes, at most ${MAX_BYTES - 256}`);
  return Object.freeze(Object.assign(Object.create(null) as Record<string, string>, Object.fromEntries(pairs)));
}

/** No pairs are no bytes, not a count of zero. */
export function serializeContext(context: EncryptionContext): Uint8Array {
  const pairs = Object.entries(context);
  return pairs.length === 0 ? new Uint8Array() : serializePairs(pairs);
}

function serializePairs(pairs: readonly (readonly [string, string])[]): Uint8Array {
  const encoded = pairs.map(([name, value]) => [utf8(name), utf8(value)] as const);
  // By bytes, not by UTF-16 units: these differ beyond U+FFFF.
  const sorted = encoded.toSorted(([a], [b]) => compareBytes(a, b));
  return concat(uint16(pairs.length), ...sorted.flatMap((pair) => pair.flatMap((text) => [uint16(text.length), text])));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function uint16(value: number): Uint8Array {
  if (value > MAX_BYTES) throw new RangeError(`${value} bytes where the format holds at most ${MAX_BYTES}`);
  return Uint8Array.of(value >>> 8, value & 0xff);
}

/** The pairs whose names are among `names`, and the others. */
export function partitionContext(
  context: EncryptionContext,
  names: readonly string[],
): { readonly named: EncryptionContext; readonly rest: EncryptionContext } {
  const entries = Object.entries(context);
  const pick = (isNamed: boolean): EncryptionContext =>
    Object.fromEntries(entries.filter(([name]) => names.includes(name) === isNamed));
  return { named: pick(true), rest: pick(false) };
}
