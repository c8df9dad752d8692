/**
 * ImportKeyMaterial: the key that wraps, and what was wrapped under it.
 *
 *   RSAES_OAEP_*         RSA holds the key material itself
 *   RSA_AES_KEY_WRAP_*   RSA holds an AES-256 key, which wraps the key material behind it (RFC 5649)
 *   SM2PKE               SM2 holds the key material itself (China Regions)
 *
 * Source: KMS Developer Guide, "Importing key material", steps 2 and 3; RFC 5649 §4.2.
 *
 * @module
 */
import { createDecipheriv } from "node:crypto";
import { concat, fromHex } from "../../../../shared/bytes.ts";
import { AwsFault, validationFault } from "../../fault.ts";
import { open } from "./encrypt.ts";
import { generateKeyMaterial } from "./key-material.ts";
import { keyObjects } from "./key-objects.ts";
import type { KeySpec, RsaKeySpec } from "./key-specs.ts";
import { publicKeyOf } from "./public-key.ts";
import { invalidCiphertext } from "./refusals.ts";

export type WrappingKeySpec = RsaKeySpec | "SM2";
export type WrappingAlgorithm =
  | "RSAES_OAEP_SHA_1"
  | "RSAES_OAEP_SHA_256"
  | "RSA_AES_KEY_WRAP_SHA_1"
  | "RSA_AES_KEY_WRAP_SHA_256"
  | "SM2PKE";

/** Both halves in DER: SubjectPublicKeyInfo and PKCS#8. */
export interface WrappingKey {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

export interface WrappedKeyMaterial {
  readonly algorithm: WrappingAlgorithm;
  readonly privateKey: Uint8Array;
  readonly wrapped: Uint8Array;
}

export const WRAPPING_ALGORITHMS: readonly WrappingAlgorithm[] = [
  "RSAES_OAEP_SHA_1",
  "RSAES_OAEP_SHA_256",
  "RSA_AES_KEY_WRAP_SHA_1",
  "RSA_AES_KEY_WRAP_SHA_256",
  "SM2PKE",
];
/** RFC 5649 §3: the alternative initial value; the length of the key is its other half. */
const ALTERNATIVE_IV = fromHex("a65959a6");

/**
 * Checks what GetParametersForImport asks for. The texts are ours.
 *
 * @throws {AwsFault} `UnsupportedOperationException` for the retired RSAES_PKCS1_V1_5, `ValidationException`
 */
export function assertWrapping(algorithm: string, spec: WrappingKeySpec): asserts algorithm is WrappingAlgorithm {
  if (algorithm === "RSAES_PKCS1_V1_5")
    throw new AwsFault("UnsupportedOperationException", "Wrapping algorithm RSAES_PKCS1_V1_5 is no longer supported.");
  const known = WRAPPING_ALGORITHMS.find((name) => name === algorithm);
  if (!known || (known === "SM2PKE") !== (spec === "SM2"))
    throw validationFault(`Wrapping algorithm ${algorithm} is not compatible with wrapping key spec ${spec}.`);
}

/** `generate` may be a pool's. */
export async function newWrappingKey(
  spec: WrappingKeySpec,
  generate: (spec: KeySpec) => Promise<Uint8Array> = generateKeyMaterial,
): Promise<WrappingKey> {
  const privateKey = await generate(spec);
  return { publicKey: publicKeyOf(spec, privateKey), privateKey };
}

/** @throws {AwsFault} `InvalidCiphertextException`, whatever is wrong */
export function unwrapKeyMaterial({ algorithm, privateKey, wrapped }: WrappedKeyMaterial): Uint8Array {
  const unwrapped = unwrap(algorithm, { material: privateKey, ciphertext: wrapped });
  if (!unwrapped) throw invalidCiphertext();
  return unwrapped;
}

function unwrap(
  algorithm: WrappingAlgorithm,
  { material, ciphertext }: { material: Uint8Array; ciphertext: Uint8Array },
): Uint8Array | undefined {
  if (algorithm !== "RSA_AES_KEY_WRAP_SHA_1" && algorithm !== "RSA_AES_KEY_WRAP_SHA_256")
    return open(algorithm, { material, ciphertext });
  const modulusBytes = (keyObjects(material).privateKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const oaep = algorithm === "RSA_AES_KEY_WRAP_SHA_1" ? "RSAES_OAEP_SHA_1" : "RSAES_OAEP_SHA_256";
  const aesKey = open(oaep, { material, ciphertext: ciphertext.subarray(0, modulusBytes) });
  if (aesKey?.length !== 32) return undefined;
  return unwrapPadded(aesKey, ciphertext.subarray(modulusBytes));
}

/** AES key unwrap with padding, by an AES key of 16, 24 or 32 bytes; `undefined` for whatever is wrong. */
export function unwrapPadded(aesKey: Uint8Array, wrapped: Uint8Array): Uint8Array | undefined {
  // RFC 5649 §4.2: two blocks of 8 bytes or more. OpenSSL opens nothing at all to nothing at all.
  if (wrapped.length < 16 || wrapped.length % 8 !== 0) return undefined;
  const decipher = createDecipheriv(`id-aes${aesKey.length * 8}-wrap-pad`, aesKey, ALTERNATIVE_IV);
  try {
    return concat(decipher.update(wrapped), decipher.final());
  } catch {
    return undefined; // one answer for every reason
  }
}
