/**
 * RSAES-OAEP with a hash, a mask hash and a label of one's own: what a KMS that keeps to nothing could send.
 *
 * Node's own OAEP ties the mask hash to the hash. For faults only: not a byte of an honest answer passes here.
 *
 * Source: RFC 8017 §7.1.1 (EME-OAEP).
 *
 * @module
 */
import { constants, createHash, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { mgf1, xor } from "../algorithms/mgf1.ts";

export interface OaepChoices {
  readonly hash?: "sha1" | "sha256" | "sha384";
  readonly maskHash?: "sha1" | "sha256" | "sha384";
  readonly label?: Uint8Array;
}

/** `spki` is an RSA-2048 key. */
export function oaepEncrypt(
  message: Uint8Array,
  spki: Uint8Array,
  { hash = "sha256", maskHash = "sha256", label = new Uint8Array(0) }: OaepChoices = {},
): Uint8Array {
  const size = 256;
  const labelHash = createHash(hash).update(label).digest();
  const padding = Buffer.alloc(size - message.length - 2 * labelHash.length - 2);
  const block = Buffer.concat([labelHash, padding, Buffer.of(1), message]);
  const seed = randomBytes(labelHash.length);
  const maskedBlock = xor(block, mgf1(seed, { length: block.length, hash: maskHash }));
  const maskedSeed = xor(seed, mgf1(maskedBlock, { length: seed.length, hash: maskHash }));
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  const encoded = Buffer.concat([Buffer.of(0), maskedSeed, maskedBlock]);
  return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, encoded);
}
