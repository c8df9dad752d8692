/**
 * Brings key material to KMS as a customer would: wrapped under the public key that KMS gives for the import.
 *
 * @module
 */
import { constants, createCipheriv, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import type {
  AlgorithmSpec,
  ImportKeyMaterialCommandOutput,
  ImportKeyMaterialRequest,
  WrappingKeySpec,
} from "@aws-sdk/client-kms";
import type { Session } from "../session.ts";

export interface Wrapping {
  readonly WrappingAlgorithm: AlgorithmSpec;
  readonly WrappingKeySpec: WrappingKeySpec;
}

export const OAEP_2048: Wrapping = { WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" };

export type ImportOptions = Omit<ImportKeyMaterialRequest, "ImportToken" | "EncryptedKeyMaterial">;

/** The request that imports this material; each one has a token of its own. */
export async function wrapped(
  aws: Session,
  { material, wrapping = OAEP_2048, ...options }: ImportOptions & { material: Uint8Array; wrapping?: Wrapping },
): Promise<ImportKeyMaterialRequest> {
  const given = await aws.kms().getParametersForImport({ KeyId: options.KeyId, ...wrapping });
  const { PublicKey = new Uint8Array(), ImportToken } = given;
  const EncryptedKeyMaterial = wrap(material, { publicKey: PublicKey, algorithm: wrapping.WrappingAlgorithm });
  return { ...options, ImportToken, EncryptedKeyMaterial };
}

/** The same, and for ever. */
export async function importLasting(
  aws: Session,
  request: Omit<ImportOptions, "ExpirationModel"> & { material: Uint8Array; wrapping?: Wrapping },
): Promise<ImportKeyMaterialCommandOutput> {
  const ready = await wrapped(aws, { ...request, ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE" });
  return aws.kms().importKeyMaterial(ready);
}

interface Wrap {
  readonly publicKey: Uint8Array;
  readonly algorithm: AlgorithmSpec;
}

function wrap(material: Uint8Array, { publicKey, algorithm }: Wrap): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  const oaepHash = algorithm.endsWith("SHA_1") ? "sha1" : "sha256";
  const oaep = (bytes: Uint8Array): Uint8Array =>
    publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, bytes);
  if (!algorithm.startsWith("RSA_AES_KEY_WRAP")) return oaep(material);
  const aesKey = randomBytes(32);
  // RFC 5649 §3: the alternative initial value.
  const cipher = createCipheriv("id-aes256-wrap-pad", aesKey, Buffer.from("a65959a6", "hex"));
  return Buffer.concat([oaep(aesKey), cipher.update(material), cipher.final()]);
}
