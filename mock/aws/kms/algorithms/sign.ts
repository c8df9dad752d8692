/**
 * Sign and Verify: which algorithm takes which message, and which library does it.
 *
 *   RAW           the message; the algorithm hashes it
 *   DIGEST        its digest, of exactly the algorithm's length
 *   EXTERNAL_MU   ML-DSA's 64-byte message representative
 *
 * ED25519_PH_SHA_512 takes DIGEST only, and hashes the 64 bytes once more, as KMS documents for itself. Order of checks:
 * algorithm against key spec, message type, length.
 *
 * Source: KMS API Reference, Sign, "MessageType"; RFC 8032 §5.1 (Ed25519ph); recorded answers for the texts.
 *
 * @module
 */
import { constants, sign as opensslSign, verify as opensslVerify } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { readPublicKeyInfo } from "./der.ts";
import { ecdsaSignDigest, isEcdsaSignature } from "./ecdsa-digest.ts";
import { curveKey, keyObjects } from "./key-objects.ts";
import { KEY_KINDS, KEY_SPECS, type KeySpec, type SigningAlgorithm } from "./key-specs.ts";
import { isMlDsaSignature, type MlDsaInput, type MlDsaParameters, mlDsaSign } from "./ml-dsa.ts";
import { incompatibleAlgorithm, invalidDigestLength, invalidMessageType, invalidSignature } from "./refusals.ts";
import { isRsaSignature, isSignatureLong, type RsaScheme, rsaSignDigest } from "./rsa-digest.ts";
import { isSm2Signature, sm2Digest, sm2Sign } from "./sm2.ts";

export type MessageType = "RAW" | "DIGEST" | "EXTERNAL_MU";

export interface SignRequest {
  readonly spec: KeySpec;
  readonly material: Uint8Array;
  readonly algorithm: SigningAlgorithm;
  readonly messageType: MessageType;
  readonly message: Uint8Array;
}
export interface VerifyRequest extends SignRequest {
  readonly signature: Uint8Array;
}

type Method = { readonly lengths: Partial<Record<MessageType, number | "any">> } & (
  | ({ readonly kind: "rsa" } & RsaScheme)
  | { readonly kind: "ecdsa"; readonly hash: "sha256" | "sha384" | "sha512" }
  | { readonly kind: "ed25519" | "ed25519ph" | "sm2" | "ml-dsa" }
);

function rsa(padding: RsaScheme["padding"], hash: RsaScheme["hash"]): Method {
  return { kind: "rsa", padding, hash, lengths: { RAW: "any", DIGEST: DIGEST_BYTES[hash] } };
}

function ecdsa(hash: RsaScheme["hash"]): Method {
  return { kind: "ecdsa", hash, lengths: { RAW: "any", DIGEST: DIGEST_BYTES[hash] } };
}

const DIGEST_BYTES = { sha256: 32, sha384: 48, sha512: 64 } as const;
const METHODS: Readonly<Record<SigningAlgorithm, Method>> = {
  RSASSA_PKCS1_V1_5_SHA_256: rsa("pkcs1", "sha256"),
  RSASSA_PKCS1_V1_5_SHA_384: rsa("pkcs1", "sha384"),
  RSASSA_PKCS1_V1_5_SHA_512: rsa("pkcs1", "sha512"),
  RSASSA_PSS_SHA_256: rsa("pss", "sha256"),
  RSASSA_PSS_SHA_384: rsa("pss", "sha384"),
  RSASSA_PSS_SHA_512: rsa("pss", "sha512"),
  ECDSA_SHA_256: ecdsa("sha256"),
  ECDSA_SHA_384: ecdsa("sha384"),
  ECDSA_SHA_512: ecdsa("sha512"),
  ED25519_SHA_512: { kind: "ed25519", lengths: { RAW: "any" } },
  ED25519_PH_SHA_512: { kind: "ed25519ph", lengths: { DIGEST: 64 } },
  SM2DSA: { kind: "sm2", lengths: { RAW: "any", DIGEST: 32 } },
  ML_DSA_SHAKE_256: { kind: "ml-dsa", lengths: { RAW: "any", EXTERNAL_MU: 64 } },
};

/** @throws {AwsFault} `InvalidKeyUsageException`, `ValidationException` */
export function sign(request: SignRequest): Uint8Array {
  const { material, message, messageType } = request;
  const method = methodOf(request);
  switch (method.kind) {
    case "rsa": {
      const keys = keyObjects(material);
      if (messageType === "DIGEST") return rsaSignDigest(keys, { scheme: method, digest: message });
      return Uint8Array.from(opensslSign(method.hash, message, { key: keys.privateKey, ...paddingOf(method) }));
    }
    case "ecdsa": {
      if (messageType === "RAW")
        return Uint8Array.from(opensslSign(method.hash, message, keyObjects(material).privateKey));
      return ecdsaSignDigest(request.spec, { scalar: curveKey(material).scalar, digest: message });
    }
    case "ed25519":
      return Uint8Array.from(opensslSign(null, message, keyObjects(material).privateKey));
    case "ed25519ph":
      return ed25519ph.sign(message, ed25519Seed(material));
    case "sm2":
      return sm2Sign(curveKey(material), sm2DigestOf(request));
    case "ml-dsa":
      return mlDsaSign(parametersOf(request.spec), { ...mlDsaInput(request), material });
    default:
      throw method satisfies never;
  }
}

/**
 * Returns if the signature is the key's, and not otherwise.
 *
 * @throws {AwsFault} `KMSInvalidSignatureException`, `InvalidKeyUsageException`, `ValidationException`
 */
export function verify(request: VerifyRequest): void {
  if (!isSignature(request, methodOf(request))) throw invalidSignature();
}

function isSignature(request: VerifyRequest, method: Method): boolean {
  const { material, message, messageType, signature } = request;
  switch (method.kind) {
    case "rsa": {
      const keys = keyObjects(material);
      if (!isSignatureLong(keys, signature)) return false;
      if (messageType === "DIGEST") return isRsaSignature(keys, { scheme: method, digest: message, signature });
      return opensslVerify(method.hash, message, { key: keys.publicKey, ...paddingOf(method) }, signature);
    }
    case "ecdsa": {
      if (messageType === "RAW") return opensslVerify(method.hash, message, keyObjects(material).publicKey, signature);
      return isEcdsaSignature(request.spec, { point: curveKey(material).point, digest: message, signature });
    }
    case "ed25519":
      return opensslVerify(null, message, keyObjects(material).publicKey, signature);
    case "ed25519ph": {
      const { key: publicKey } = readPublicKeyInfo(keyObjects(material).spki);
      return signature.length === 64 && ed25519ph.verify(signature, message, publicKey, { zip215: false });
    }
    case "sm2":
      return isSm2Signature(curveKey(material), { digest: sm2DigestOf(request), signature });
    case "ml-dsa":
      return isMlDsaSignature(parametersOf(request.spec), { ...mlDsaInput(request), material, signature });
    default:
      throw method satisfies never;
  }
}

function methodOf({ spec, algorithm, messageType, message }: SignRequest): Method {
  if (!KEY_SPECS[spec].signingAlgorithms.includes(algorithm)) throw incompatibleAlgorithm(algorithm, spec);
  const method = METHODS[algorithm];
  const length = method.lengths[messageType];
  if (length === undefined) throw invalidMessageType(messageType, algorithm);
  if (length !== "any" && message.length !== length) throw invalidDigestLength(algorithm);
  return method;
}

function paddingOf({ padding }: RsaScheme): { padding: number; saltLength?: number } {
  if (padding === "pkcs1") return { padding: constants.RSA_PKCS1_PADDING };
  return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}

function parametersOf(spec: KeySpec): MlDsaParameters {
  const facts = KEY_KINDS[spec];
  if (facts.kind !== "ml-dsa") throw new TypeError(`${spec} is not ML-DSA`);
  return facts.parameters;
}

/** RFC 8410 §7: the last 32 bytes of the PKCS#8 key, which OpenSSL writes without anything behind. */
function ed25519Seed(material: Uint8Array): Uint8Array {
  return material.subarray(-32);
}

function sm2DigestOf({ material, message, messageType }: SignRequest): Uint8Array {
  return messageType === "DIGEST" ? message : sm2Digest(curveKey(material).point, message);
}

function mlDsaInput({ message, messageType }: SignRequest): MlDsaInput {
  return messageType === "EXTERNAL_MU" ? { mu: message } : { message };
}
