/**
 * RSA signatures over a digest that the caller made: what Node's own functions, which always hash, do not offer.
 *
 * The encoded message is built here and given to RSA bare. Verifying builds it again, with the salt found in it where
 * there is one, and compares all bytes: there is no lenient parse.
 *
 * Source: RFC 8017 §9.1 (EMSA-PSS, salt as long as the hash), §9.2 (EMSA-PKCS1-v1_5).
 *
 * @module
 */
import { constants, createHash, privateEncrypt, publicDecrypt, randomBytes } from "node:crypto";
import { concat, equalBytes, fromHex } from "../../../../shared/bytes.ts";
import type { KeyObjects } from "./key-objects.ts";
import { mgf1, xor } from "./mgf1.ts";

export type RsaHash = "sha256" | "sha384" | "sha512";
export interface RsaScheme {
  readonly padding: "pss" | "pkcs1";
  readonly hash: RsaHash;
}

/** DER of DigestInfo before the digest, RFC 8017 §9.2 note 1. */
const DIGEST_INFO: Readonly<Record<RsaHash, Uint8Array>> = {
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
};
const TRAILER = 0xbc;

export function rsaSignDigest({ privateKey }: KeyObjects, { scheme, digest }: SignedDigest): Uint8Array {
  const modulusBytes = bytesOfModulus(privateKey);
  const salt = randomBytes(digest.length);
  const encoded =
    scheme.padding === "pss"
      ? encodePss(digest, { hash: scheme.hash, salt, modulusBytes })
      : encodePkcs1(digest, { hash: scheme.hash, modulusBytes });
  const key = { key: privateKey, padding: constants.RSA_NO_PADDING };
  return Uint8Array.from(privateEncrypt(key, encoded));
}

export interface SignedDigest {
  readonly scheme: RsaScheme;
  readonly digest: Uint8Array;
}

/** RFC 8017 §8.1.2, §8.2.2: as long as the modulus. OpenSSL reads a shorter PSS signature as the same number. */
export function isSignatureLong({ publicKey }: KeyObjects, signature: Uint8Array): boolean {
  return signature.length === bytesOfModulus(publicKey);
}

/** For a signature that `isSignatureLong`. */
export function isRsaSignature(
  { publicKey }: KeyObjects,
  { scheme, digest, signature }: SignedDigest & { readonly signature: Uint8Array },
): boolean {
  const modulusBytes = bytesOfModulus(publicKey);
  const encoded = bareRsa(publicKey, signature);
  if (!encoded) return false;
  const { hash } = scheme;
  if (scheme.padding === "pkcs1") return equalBytes(encoded, encodePkcs1(digest, { hash, modulusBytes }));
  const masked = encoded.subarray(0, modulusBytes - digest.length - 1);
  const hashed = encoded.subarray(masked.length, -1);
  const salt = xor(masked, mgf1(hashed, { hash, length: masked.length })).subarray(-digest.length);
  return equalBytes(encoded, encodePss(digest, { hash, salt, modulusBytes }));
}

function bareRsa(key: KeyObjects["publicKey"], signature: Uint8Array): Uint8Array | undefined {
  try {
    return publicDecrypt({ key, padding: constants.RSA_NO_PADDING }, signature);
  } catch {
    return undefined; // RFC 8017 §5.2.2: a number that is not below the modulus is no signature
  }
}

function bytesOfModulus(key: KeyObjects["publicKey"]): number {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits === 0 || bits % 8 !== 0) throw new TypeError("expected an RSA key of whole bytes");
  return bits / 8;
}

function encodePkcs1(digest: Uint8Array, { hash, modulusBytes }: { hash: RsaHash; modulusBytes: number }): Uint8Array {
  const info = concat(DIGEST_INFO[hash], digest);
  const filler = new Uint8Array(modulusBytes - info.length - 3).fill(0xff);
  return concat(Uint8Array.of(0, 1), filler, Uint8Array.of(0), info);
}

function encodePss(
  digest: Uint8Array,
  { hash, salt, modulusBytes }: { hash: RsaHash; salt: Uint8Array; modulusBytes: number },
): Uint8Array {
  const hashed = createHash(hash).update(new Uint8Array(8)).update(digest).update(salt).digest();
  const length = modulusBytes - hashed.length - 1;
  const block = concat(new Uint8Array(length - salt.length - 1), Uint8Array.of(1), salt);
  const masked = xor(block, mgf1(hashed, { hash, length }));
  // One bit less than the modulus: the number must stay below it.
  masked[0] = (masked[0] ?? 0) & 0x7f;
  return concat(masked, hashed, Uint8Array.of(TRAILER));
}
