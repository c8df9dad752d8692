/**
 * What KMS says when an algorithm, a message or a ciphertext does not fit the key.
 *
 * Texts are AWS's where an answer was recorded; InvalidCiphertextException and its kin have none. The two marked as
 * ours stand where no answer of AWS is known.
 *
 * @module
 */
import { AwsFault, validationFault } from "../../fault.ts";
import type { KeySpec } from "./key-specs.ts";

export function incompatibleAlgorithm(algorithm: string, spec: KeySpec): AwsFault {
  return new AwsFault("InvalidKeyUsageException", `Algorithm ${algorithm} is incompatible with key spec ${spec}.`);
}

export function invalidDigestLength(algorithm: string): AwsFault {
  return validationFault(`Digest is invalid length for algorithm ${algorithm}.`);
}

/** The text is ours. */
export function invalidMessageType(messageType: string, algorithm: string): AwsFault {
  return validationFault(`MessageType ${messageType} is not valid for algorithm ${algorithm}.`);
}

export function plaintextTooLarge(algorithm: string, { spec, max }: { spec: KeySpec; max: number }): AwsFault {
  return validationFault(`Algorithm ${algorithm} and key spec ${spec} cannot encrypt data larger than ${max} bytes.`);
}

export function invalidCiphertext(): AwsFault {
  return new AwsFault("InvalidCiphertextException");
}

export function invalidSignature(): AwsFault {
  return new AwsFault("KMSInvalidSignatureException");
}

export function invalidMac(): AwsFault {
  return new AwsFault("KMSInvalidMacException");
}

/** DeriveSharedSecret with a public key that is none, or not of the key's curve. */
export function invalidPublicKey(): AwsFault {
  return validationFault("");
}

/** The text is ours. */
export function incorrectKeyMaterial(expected: string): AwsFault {
  return new AwsFault("IncorrectKeyMaterialException", `The key material is not valid: expected ${expected}.`);
}
