/**
 * The few DER structures of keys and signatures: PKCS#8, SubjectPublicKeyInfo, and pairs of integers.
 *
 * Reading is strict and refuses with an `EncodingError`; callers say in AWS's words what that means for them.
 *
 * Source: RFC 5958 §2 (OneAsymmetricKey), RFC 5915 §3 (ECPrivateKey), RFC 5280 §4.1, RFC 3279 §2.2.3.
 *
 * @module
 */
import { concat } from "../../../../shared/bytes.ts";
import { DerReader, octetAlignedBits, TAG, unsignedInteger } from "../../../../shared/der/reader.ts";
import { EncodingError } from "../../../../shared/errors/encoding.ts";
import { element, objectIdentifier, smallInteger } from "../ber.ts";

/** A key in PKCS#8 or SubjectPublicKeyInfo; `algorithm` is the AlgorithmIdentifier's whole encoding. */
export interface KeyInfo {
  readonly algorithm: Uint8Array;
  readonly key: Uint8Array;
}

export function writePrivateKeyInfo({ algorithm, key }: KeyInfo): Uint8Array {
  return element(TAG.sequence, smallInteger(0), algorithm, element(TAG.octetString, key));
}

/** Attributes and a public key may follow in PKCS#8; they are read over, bytes behind the structure are not. */
export function readPrivateKeyInfo(der: Uint8Array): KeyInfo {
  const outer = new DerReader(der);
  const fields = outer.enter(TAG.sequence);
  outer.end();
  const [version = -1, ...rest] = unsignedInteger(fields);
  if (rest.length > 0 || version > 1) throw fields.malformed("the version of a private key is 0 or 1");
  const algorithm = fields.read(TAG.sequence).raw;
  const key = fields.read(TAG.octetString).content;
  while (!fields.isAtEnd) fields.read(fields.nextTag);
  return { algorithm, key };
}

/** The private scalar in a PKCS#8 key on a curve, as its ECPrivateKey has it. */
export function readScalar(der: Uint8Array): Uint8Array {
  const fields = new DerReader(readPrivateKeyInfo(der).key).enter(TAG.sequence);
  unsignedInteger(fields);
  return fields.read(TAG.octetString).content;
}

export function writePublicKeyInfo({ algorithm, key }: KeyInfo): Uint8Array {
  return element(TAG.sequence, algorithm, element(TAG.bitString, Uint8Array.of(0), key));
}

/** A SubjectPublicKeyInfo: for a curve, `key` is the point. */
export function readPublicKeyInfo(der: Uint8Array): KeyInfo {
  const outer = new DerReader(der);
  const fields = outer.enter(TAG.sequence);
  outer.end();
  const algorithm = fields.read(TAG.sequence).raw;
  const key = octetAlignedBits(fields);
  fields.end();
  return { algorithm, key };
}

/** An AlgorithmIdentifier without parameters. */
export function bareAlgorithm(oid: string): Uint8Array {
  return element(TAG.sequence, objectIdentifier(oid));
}

/** INTEGER of big-endian bytes: no needless zeros, none missing before a high bit. */
export function writeUnsigned(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  return element(TAG.integer, (digits[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), digits) : digits);
}

/** A big-endian number in exactly `length` bytes, or `undefined` if it has more. */
export function leftPadded(bytes: Uint8Array, length: number): Uint8Array | undefined {
  if (bytes.length > length) return undefined;
  return concat(new Uint8Array(length - bytes.length), bytes);
}

/** `SEQUENCE { r, s }` from r and s side by side, as ECDSA and SM2 signatures are. */
export function writeSignature(pair: Uint8Array): Uint8Array {
  const half = pair.length / 2;
  return element(TAG.sequence, writeUnsigned(pair.subarray(0, half)), writeUnsigned(pair.subarray(half)));
}

/** The reverse, each number in `numberBytes`; `undefined` if these bytes are no such signature. */
export function readSignature(der: Uint8Array, numberBytes: number): Uint8Array | undefined {
  try {
    const outer = new DerReader(der);
    const numbers = outer.enter(TAG.sequence);
    outer.end();
    const r = leftPadded(unsignedInteger(numbers), numberBytes);
    const s = leftPadded(unsignedInteger(numbers), numberBytes);
    numbers.end();
    return r && s && concat(r, s);
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}
