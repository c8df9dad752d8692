/**
 * KMS's own layer around what an external key store encrypts: AES-256-GCM under material that only KMS has.
 *
 *   initialization vector (12) · tag (16) · ciphertext
 *
 * The proxy gets this for a plaintext, so the key manager's owner and KMS each hold one of two keys: neither reads the
 * data alone. At most 28 bytes more than the plaintext, below the 4300 that every proxy must take.
 *
 * Source: KMS Developer Guide, "How external key stores work", double encryption.
 *
 * @module
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { concat } from "../../../../shared/bytes.ts";

const ALGORITHM = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;

export function sealInner(material: Uint8Array, plaintext: Uint8Array, additionalData: Uint8Array): Uint8Array {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(ALGORITHM, material, iv).setAAD(additionalData);
  const ciphertext = concat(cipher.update(plaintext), cipher.final());
  return concat(iv, cipher.getAuthTag(), ciphertext);
}

/** Nothing when these are not bytes that `sealInner` made with the same material and data. */
export function openInner(
  material: Uint8Array,
  sealed: Uint8Array,
  additionalData: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, material, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(additionalData).setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES));
  try {
    return concat(plaintext, decipher.final());
  } catch {
    return undefined; // the tag does not match: the one way in which `final` fails here
  }
}
