/**
 * The cryptography of every KMS key kind, over plain values: no HTTP, no policies, no key states.
 *
 * Material is what a store keeps; requests are plain records; refusals are AWS's. `verify` and `verifyMac` return or
 * throw, so that a result can not be overlooked.
 *
 * @module
 */
export { type AgreementRequest, deriveSharedSecret } from "./agree.ts";
export { type DecryptRequest, decryptAsymmetric, type EncryptRequest, encryptAsymmetric } from "./encrypt.ts";
export {
  assertWrapping,
  newWrappingKey,
  unwrapKeyMaterial,
  WRAPPING_ALGORITHMS,
  type WrappedKeyMaterial,
  type WrappingAlgorithm,
  type WrappingKey,
  type WrappingKeySpec,
} from "./import.ts";
export { checkImported } from "./imported-material.ts";
export { generateKeyMaterial } from "./key-material.ts";
export { type KeyPairCounts, KeyPairPool, type KeyPairPoolOptions } from "./key-pair-pool.ts";
export {
  type AlgorithmMembers,
  algorithmMembers,
  type EncryptionAlgorithm,
  isAsymmetric,
  isKeySpec,
  KEY_SPECS,
  type KeyAgreementAlgorithm,
  type KeySpec,
  type KeySpecFacts,
  type KeyUsage,
  type MacAlgorithm,
  type RsaKeySpec,
  type SigningAlgorithm,
} from "./key-specs.ts";
export { generateMac, type MacRequest, verifyMac } from "./mac.ts";
export { publicKeyOf } from "./public-key.ts";
export { type MessageType, type SignRequest, sign, type VerifyRequest, verify } from "./sign.ts";
