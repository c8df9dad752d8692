/**
 * Encrypt and Decrypt with asymmetric keys: RSAES-OAEP and SM2.
 *
 * A ciphertext has no header that would name key or algorithm. Whatever is wrong with it gives one error without a text.
 *
 * Source: KMS API Reference, Encrypt (limits by key spec and algorithm); RFC 8017 §7.1.
 *
 * @module
 */
import { constants, privateDecrypt, publicEncrypt } from "node:crypto";
import { curveKey, keyObjects } from "./key-objects.ts";
import { type EncryptionAlgorithm, KEY_KINDS, KEY_SPECS, type KeySpec } from "./key-specs.ts";
import { incompatibleAlgorithm, invalidCiphertext, plaintextTooLarge } from "./refusals.ts";
import { sm2Decrypt, sm2Encrypt } from "./sm2.ts";

export interface EncryptRequest {
  readonly spec: KeySpec;
  readonly material: Uint8Array;
  readonly algorithm: EncryptionAlgorithm;
  readonly plaintext: Uint8Array;
}
export interface DecryptRequest extends Omit<EncryptRequest, "plaintext"> {
  readonly ciphertext: Uint8Array;
}

const SM2_MAX_BYTES = 1024;
const OAEP = {
  RSAES_OAEP_SHA_1: { hash: "sha1", hashBytes: 20 },
  RSAES_OAEP_SHA_256: { hash: "sha256", hashBytes: 32 },
} as const;

/** @throws {AwsFault} `InvalidKeyUsageException`, `ValidationException` */
export function encryptAsymmetric({ spec, material, algorithm, plaintext }: EncryptRequest): Uint8Array {
  assertAlgorithm(spec, algorithm);
  const max = maxPlaintextBytes(spec, algorithm);
  if (plaintext.length > max) throw plaintextTooLarge(algorithm, { spec, max });
  if (algorithm === "SM2PKE") return sm2Encrypt(curveKey(material), plaintext);
  const key = { key: keyObjects(material).publicKey, ...oaep(algorithm) };
  return Uint8Array.from(publicEncrypt(key, plaintext));
}

/** @throws {AwsFault} `InvalidKeyUsageException`, `InvalidCiphertextException` */
export function decryptAsymmetric({ spec, material, algorithm, ciphertext }: DecryptRequest): Uint8Array {
  assertAlgorithm(spec, algorithm);
  const plaintext = open(algorithm, { material, ciphertext });
  if (!plaintext) throw invalidCiphertext();
  return plaintext;
}

/** `undefined` for whatever is wrong with the ciphertext. */
export function open(
  algorithm: EncryptionAlgorithm,
  { material, ciphertext }: { material: Uint8Array; ciphertext: Uint8Array },
): Uint8Array | undefined {
  // The keys are parsed outside of the try: bad material of ours is not a bad ciphertext of theirs.
  if (algorithm === "SM2PKE") {
    const key = curveKey(material);
    return attempt(() => sm2Decrypt(key, ciphertext));
  }
  const { privateKey } = keyObjects(material);
  // RFC 8017 §7.1.2: as long as the modulus. OpenSSL would read a shorter one as the same number.
  if (ciphertext.length * 8 !== privateKey.asymmetricKeyDetails?.modulusLength) return undefined;
  const key = { key: privateKey, ...oaep(algorithm) };
  return attempt(() => Uint8Array.from(privateDecrypt(key, ciphertext)));
}

function attempt(decrypt: () => Uint8Array | undefined): Uint8Array | undefined {
  try {
    return decrypt();
  } catch {
    return undefined; // one answer for every reason, so that none can be told from another
  }
}

function oaep(algorithm: EncryptionAlgorithm): { padding: number; oaepHash: string } {
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: oaepFacts(algorithm).hash };
}

function oaepFacts(algorithm: EncryptionAlgorithm): (typeof OAEP)[keyof typeof OAEP] {
  if (algorithm !== "RSAES_OAEP_SHA_1" && algorithm !== "RSAES_OAEP_SHA_256")
    throw new TypeError(`${algorithm} is not RSAES-OAEP`);
  return OAEP[algorithm];
}

function maxPlaintextBytes(spec: KeySpec, algorithm: EncryptionAlgorithm): number {
  const facts = KEY_KINDS[spec];
  if (facts.kind !== "rsa") return SM2_MAX_BYTES;
  return facts.modulusBits / 8 - 2 * oaepFacts(algorithm).hashBytes - 2;
}

function assertAlgorithm(spec: KeySpec, algorithm: EncryptionAlgorithm): void {
  if (spec === "SYMMETRIC_DEFAULT") throw new TypeError("not for symmetric keys");
  if (!KEY_SPECS[spec].encryptionAlgorithms.includes(algorithm)) throw incompatibleAlgorithm(algorithm, spec);
}
