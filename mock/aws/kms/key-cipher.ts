/**
 * Encrypts and decrypts under a KMS key, wherever its material is: here, in a token, behind a proxy.
 *
 *   SYMMETRIC_DEFAULT     KMS's own ciphertext, with the encryption context
 *   in a custom store     the same frame around the store's blob
 *   RSA, SM2              bare algorithm output, no encryption context
 *
 * Source: KMS API Reference, Encrypt, Decrypt; KMS Developer Guide, "Encryption context".
 *
 * @module
 */
import type { EncryptionAlgorithmSpec } from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../fault.ts";
import { decryptAsymmetric, encryptAsymmetric, isAsymmetric } from "./algorithms/index.ts";
import {
  decryptBlob,
  type EncryptionContext,
  encryptBlob,
  readMaterialIdentifier,
  readStoredBlob,
  serializeContext,
  storedBlob,
} from "./ciphertext.ts";
import { isHeld, type KeySituation } from "./key-state.ts";
import type { KmsRequest } from "./request.ts";
import { identifierKey, type MaterialRow } from "./rows.ts";

export interface CipherQuestion {
  readonly algorithm: EncryptionAlgorithmSpec;
  readonly context: EncryptionContext | undefined;
}
export interface Opened {
  readonly plaintext: Uint8Array;
  /** Of symmetric keys outside custom key stores. */
  readonly materialId?: string;
}

/** @throws {AwsFault} */
export async function sealWith(
  request: KmsRequest,
  situation: KeySituation,
  { algorithm, context, plaintext }: CipherQuestion & { readonly plaintext: Uint8Array },
): Promise<Uint8Array> {
  const { key } = situation;
  assertFits(situation, algorithm, context);
  const material = currentMaterial(situation);
  if (isAsymmetric(key.spec))
    return encryptAsymmetric({ spec: key.spec, material: material.bytes, algorithm, plaintext });
  const additionalData = serializeContext(context ?? {});
  if (!key.keyStore) return encryptBlob(referenceTo(material), plaintext, context ?? {});
  const { backingKeyId: keyId } = key.keyStore;
  const backend = await request.state.keyStores.of(situation, request);
  const asked = { keyId, request: request.storeRequest(key), additionalData, kmsMaterial: material.bytes };
  return storedBlob(material.identifier, await backend.encrypt({ ...asked, plaintext }));
}

/** @throws {AwsFault} */
export async function openWith(
  request: KmsRequest,
  situation: KeySituation,
  { algorithm, context, blob }: CipherQuestion & { readonly blob: Uint8Array },
): Promise<Opened> {
  const { key, family } = situation;
  assertFits(situation, algorithm, context);
  if (isAsymmetric(key.spec)) {
    const { bytes } = currentMaterial(situation);
    return { plaintext: decryptAsymmetric({ spec: key.spec, material: bytes, algorithm, ciphertext: blob }) };
  }
  const identifier = readMaterialIdentifier(blob);
  const wanted = identifier && identifierKey(identifier);
  const material = family.materials.find((entry) => identifierKey(entry.identifier) === wanted);
  if (!material) throw invalidCiphertext();
  if (!isHeld(key, material.id, request.now))
    throw new AwsFault("KMSInvalidStateException", `${key.arn} is pending import.`);
  if (key.keyStore) {
    const stored = readStoredBlob(blob);
    if (!stored) throw invalidCiphertext();
    const { backingKeyId: keyId } = key.keyStore;
    const additionalData = serializeContext(context ?? {});
    const asked = { keyId, request: request.storeRequest(key), additionalData, kmsMaterial: material.bytes };
    const backend = await request.state.keyStores.of(situation, request);
    return { plaintext: await backend.decrypt({ ...asked, blob: stored }) };
  }
  const plaintext = decryptBlob(referenceTo(material), blob, context ?? {});
  if (!plaintext) throw invalidCiphertext();
  return { plaintext, materialId: material.id };
}

/** The material that encrypts. A key that is usable has one. */
export function currentMaterial({ family }: KeySituation): MaterialRow {
  const material = family.materials.find(({ id }) => id === family.currentMaterialId);
  if (!material) throw new TypeError(`an enabled key without material: ${family.id}`);
  return material;
}

function referenceTo({ bytes, identifier }: MaterialRow): { material: Uint8Array; identifier: Uint8Array } {
  return { material: bytes, identifier };
}

function assertFits({ key }: KeySituation, algorithm: string, context: EncryptionContext | undefined): void {
  const isSymmetric = algorithm === "SYMMETRIC_DEFAULT";
  if (isAsymmetric(key.spec) === isSymmetric)
    throw new AwsFault("InvalidKeyUsageException", `Algorithm ${algorithm} is incompatible with key spec ${key.spec}.`);
  if (!isSymmetric && context && Object.keys(context).length > 0)
    throw validationFault("EncryptionContext is not supported for asymmetric keys.");
}

export function invalidCiphertext(): AwsFault {
  return new AwsFault("InvalidCiphertextException");
}
