/**
 * The public half of a key, as GetPublicKey and GenerateDataKeyPair show it: DER SubjectPublicKeyInfo.
 *
 * Source: RFC 5280 §4.1; RFC 5480 §2 (curves by name, points uncompressed); RFC 8410 §4; RFC 9881 §4.
 *
 * @module
 */
import { keyObjects } from "./key-objects.ts";
import { KEY_KINDS, type KeySpec } from "./key-specs.ts";
import { mlDsaPublicKey } from "./ml-dsa.ts";

/** @throws {TypeError} a spec without a public key */
export function publicKeyOf(spec: KeySpec, material: Uint8Array): Uint8Array {
  const facts = KEY_KINDS[spec];
  if (facts.kind === "symmetric" || facts.kind === "hmac") throw new TypeError(`${spec} has no public key`);
  if (facts.kind === "ml-dsa") return mlDsaPublicKey(facts.parameters, material);
  return keyObjects(material).spki.slice();
}
