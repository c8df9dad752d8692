/**
 * Decides whether imported bytes are key material of a key's spec, and brings them into the one form that is kept.
 *
 *   SYMMETRIC_DEFAULT, HMAC_*   exactly the spec's size
 *   pairs                       PKCS#8 of the spec's kind, size and curve, whose halves belong together
 *
 * Two encodings of one key become the same bytes, so that a key imported again is known again.
 *
 * Source: KMS Developer Guide, "Requirements for imported key material"; FIPS 186-5 §A.1.1 (RSA exponent); RFC 5958.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { equalBytes } from "../../../../shared/bytes.ts";
import { readPrivateKeyInfo } from "./der.ts";
import { readPrivateKey } from "./key-objects.ts";
import { KEY_KINDS, type KeyKind, type KeySpec } from "./key-specs.ts";
import { mlDsaMaterial, readMlDsaSeed } from "./ml-dsa.ts";
import { incorrectKeyMaterial } from "./refusals.ts";
import { SM2_ALGORITHM } from "./sm2.ts";

const MIN_RSA_EXPONENT = 65_537n;
const PROBE = new Uint8Array(32);

/**
 * The material as it is kept.
 *
 * @throws {AwsFault} `IncorrectKeyMaterialException`
 */
export function checkImported(spec: KeySpec, bytes: Uint8Array): Uint8Array {
  const facts = KEY_KINDS[spec];
  if (facts.kind === "symmetric" || facts.kind === "hmac") {
    if (bytes.length !== facts.bytes) throw incorrectKeyMaterial(`${facts.bytes} bytes for ${spec}`);
    return Uint8Array.from(bytes);
  }
  const material = facts.kind === "ml-dsa" ? mlDsaOf(facts.parameters, bytes) : opensslOf(facts, bytes);
  if (!material) throw incorrectKeyMaterial(`a PKCS#8 private key for ${spec}`);
  return material;
}

function mlDsaOf(parameters: 44 | 65 | 87, bytes: Uint8Array): Uint8Array | undefined {
  try {
    return mlDsaMaterial(parameters, readMlDsaSeed(bytes, parameters));
  } catch {
    return undefined; // hostile bytes: the caller words the refusal, which has no reason in it
  }
}

function opensslOf(facts: KeyKind, bytes: Uint8Array): Uint8Array | undefined {
  try {
    const { algorithm } = readPrivateKeyInfo(bytes);
    const key = readPrivateKey(bytes);
    const fits = facts.kind === "sm2" ? equalBytes(algorithm, SM2_ALGORITHM) : isOfKind(key, facts);
    if (!fits) return undefined;
    const canonical = canonicalKey(key, facts);
    // OpenSSL reads keys whose halves do not belong together; only use shows it.
    const hash = facts.kind === "ed25519" ? null : facts.kind === "sm2" ? "sm3" : "sha256";
    const isPair = verify(hash, PROBE, createPublicKey(canonical), sign(hash, PROBE, canonical));
    const material = Uint8Array.from(canonical.export({ format: "der", type: "pkcs8" }));
    // A curve's parameters written out are not its name, even if OpenSSL takes them for it.
    return isPair && equalBytes(algorithm, readPrivateKeyInfo(material).algorithm) ? material : undefined;
  } catch {
    return undefined; // as above
  }
}

function isOfKind({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject, facts: KeyKind): boolean {
  switch (facts.kind) {
    case "rsa": {
      const exponent = details?.publicExponent ?? 0n;
      const isSound = exponent >= MIN_RSA_EXPONENT && exponent % 2n === 1n;
      return type === "rsa" && details?.modulusLength === facts.modulusBits && isSound;
    }
    case "ec":
      return type === "ec" && details?.namedCurve === facts.curve;
    case "ed25519":
      return type === "ed25519";
    default:
      return false;
  }
}

/** JWK has no room for attributes, compressed points or a missing public key; SM2 has no JWK. */
function canonicalKey(key: KeyObject, facts: KeyKind): KeyObject {
  return facts.kind === "sm2" ? key : createPrivateKey({ key: key.export({ format: "jwk" }), format: "jwk" });
}
