/**
 * SM2 signatures and encryption (China Regions), in KMS's encodings: both are DER.
 *
 *   signature    SEQUENCE { r, s } over SM3(Z ‖ message); Z has the distinguishing ID 1234567812345678
 *   ciphertext   SEQUENCE { x, y, hash, cipher }, C1 ‖ C3 ‖ C2 of the standard
 *
 * Keys are OpenSSL's; its SM2 signatures can not be given an ID through Node, so a library does the rest. DER is read and
 * written here: the library does not check that a point in DER lies on the curve, but does for a bare one.
 *
 * Source: GB/T 32918.2-2016 §5.5, §6, §7; GB/T 32918.4-2016 §6, §7; GB/T 35276-2017 §7.2.
 *
 * @module
 */
import { sm2 } from "sm-crypto-v2";
import { concat, equalBytes, fromHex, toHex } from "../../../../shared/bytes.ts";
import { DerReader, TAG, unsignedInteger } from "../../../../shared/der/reader.ts";
import { element } from "../ber.ts";
import { leftPadded, readSignature, writeSignature, writeUnsigned } from "./der.ts";
import type { CurveKey } from "./key-objects.ts";

const NUMBER_BYTES = 32;
/** SM3's. */
const HASH_BYTES = 32;
const ORDER = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";
const C1_C3_C2 = 1;

/** id-ecPublicKey with sm2p256v1: Node has no name for the type of an SM2 key that it read. */
export const SM2_ALGORITHM: Uint8Array = fromHex("301306072a8648ce3d020106082a811ccf5501822d");

/** SM3(Z ‖ message), the digest that KMS signs and that MessageType DIGEST carries. */
export function sm2Digest(point: Uint8Array, message: Uint8Array): Uint8Array {
  return fromHex(sm2.getHash(message, toHex(point)));
}

export function sm2Sign({ scalar }: CurveKey, digest: Uint8Array): Uint8Array {
  return writeSignature(fromHex(sm2.doSignature(digest, toHex(scalar), { hash: false, der: false })));
}

export function isSm2Signature({ point }: CurveKey, signed: { digest: Uint8Array; signature: Uint8Array }): boolean {
  const pair = readSignature(signed.signature, NUMBER_BYTES);
  if (!pair) return false;
  const numbers = toHex(pair);
  // GB/T 32918.2 §7.1: both are 1 to n - 1. Of equal length, hex compares like numbers.
  const inRange = [numbers.slice(0, 64), numbers.slice(64)].every((hex) => /[^0]/.test(hex) && hex < ORDER);
  return inRange && sm2.doVerifySignature(signed.digest, numbers, toHex(point), { hash: false, der: false });
}

export function sm2Encrypt({ point }: CurveKey, plaintext: Uint8Array): Uint8Array {
  for (;;) {
    const raw = fromHex(sm2.doEncrypt(plaintext, toHex(point), C1_C3_C2));
    const c2 = raw.subarray(2 * NUMBER_BYTES + HASH_BYTES);
    // GB/T 32918.4 §6.1 A5: a mask of zeros only is no mask; take another ephemeral key.
    if (equalBytes(c2, plaintext)) continue;
    return element(
      TAG.sequence,
      writeUnsigned(raw.subarray(0, NUMBER_BYTES)),
      writeUnsigned(raw.subarray(NUMBER_BYTES, 2 * NUMBER_BYTES)),
      element(TAG.octetString, raw.subarray(2 * NUMBER_BYTES, 2 * NUMBER_BYTES + HASH_BYTES)),
      element(TAG.octetString, c2),
    );
  }
}

/**
 * @returns `undefined` if the hash does not match
 * @throws {Error} not the structure, or a point off the curve
 */
export function sm2Decrypt({ scalar }: CurveKey, ciphertext: Uint8Array): Uint8Array | undefined {
  const outer = new DerReader(ciphertext);
  const fields = outer.enter(TAG.sequence);
  outer.end();
  const x = leftPadded(unsignedInteger(fields), NUMBER_BYTES);
  const y = leftPadded(unsignedInteger(fields), NUMBER_BYTES);
  const hash = fields.read(TAG.octetString).content;
  const cipher = fields.read(TAG.octetString).content;
  fields.end();
  if (!x || !y || hash.length !== HASH_BYTES || cipher.length === 0) throw fields.malformed("not an SM2 ciphertext");
  const raw = toHex(concat(x, y, hash, cipher));
  // The library answers a hash that does not match with an empty list.
  const plaintext = sm2.doDecrypt(raw, toHex(scalar), C1_C3_C2, { output: "array" });
  return plaintext.length === 0 ? undefined : Uint8Array.from(plaintext);
}

/** The x coordinate of plain ECDH on the curve, not the standard's own key exchange. Node 24 has none for SM2. */
export function sm2SharedSecret({ scalar }: CurveKey, peer: Uint8Array): Uint8Array {
  return Uint8Array.from(sm2.ecdh(toHex(scalar), toHex(peer), true).subarray(1));
}
