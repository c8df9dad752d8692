/**
 * DeriveSharedSecret: ECDH, whose secret is the x coordinate as it comes, without a derivation behind it.
 *
 * The peer's public key must be DER SubjectPublicKeyInfo with a point on the key's own curve; KMS's refusal of anything
 * else has no text.
 *
 * Source: KMS API Reference, DeriveSharedSecret; SP 800-56A rev. 3 §5.7.1.2, §5.6.2.3 (public key validation).
 *
 * @module
 */
import { createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import { equalBytes } from "../../../../shared/bytes.ts";
import { readPublicKeyInfo } from "./der.ts";
import { curveKey, keyObjects } from "./key-objects.ts";
import { KEY_KINDS, KEY_SPECS, type KeySpec } from "./key-specs.ts";
import { incompatibleAlgorithm, invalidPublicKey } from "./refusals.ts";
import { sm2SharedSecret } from "./sm2.ts";

export interface AgreementRequest {
  readonly spec: KeySpec;
  readonly material: Uint8Array;
  /** The peer's, DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/** @throws {AwsFault} `InvalidKeyUsageException`, `ValidationException` */
export function deriveSharedSecret({ spec, material, publicKey }: AgreementRequest): Uint8Array {
  const facts = KEY_KINDS[spec];
  if (!KEY_SPECS[spec].keyAgreementAlgorithms.includes("ECDH") || !("curve" in facts))
    throw incompatibleAlgorithm("ECDH", spec);
  const keys = keyObjects(material);
  const peer = readPeer(readPublicKeyInfo(keys.spki).algorithm, publicKey);
  if (facts.kind === "ec") return Uint8Array.from(diffieHellman({ privateKey: keys.privateKey, publicKey: peer.key }));
  return sm2SharedSecret(curveKey(material), peer.point);
}

function readPeer(wanted: Uint8Array, spki: Uint8Array): { key: KeyObject; point: Uint8Array } {
  try {
    const { algorithm, key: point } = readPublicKeyInfo(spki);
    // By its name, before OpenSSL: that takes parameters written out, with a cofactor that is none, for the named curve.
    if (equalBytes(algorithm, wanted))
      return { key: createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }), point };
  } catch {
    // not DER, or no point of the curve: KMS says the same of both
  }
  throw invalidPublicKey();
}
