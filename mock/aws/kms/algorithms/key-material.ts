/**
 * Makes key material of every spec.
 *
 *   SYMMETRIC_DEFAULT, HMAC_*    random bytes
 *   RSA, curves, Ed25519, SM2    PKCS#8, DER
 *   ML-DSA                       PKCS#8 with the seed
 *
 * Source: RFC 5958; RFC 8410; RFC 9881.
 *
 * @module
 */
import { generateKeyPair, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { KEY_KINDS, type KeySpec } from "./key-specs.ts";
import { newMlDsaMaterial } from "./ml-dsa.ts";

/** Also how FIPS 186-5 §A.1.1 bounds it: odd, above 2^16. */
export const RSA_PUBLIC_EXPONENT = 65_537;

/** RSA takes 0.1 s to some seconds, on another thread; a `KeyPairPool` has them ready. */
export async function generateKeyMaterial(spec: KeySpec): Promise<Uint8Array> {
  const facts = KEY_KINDS[spec];
  switch (facts.kind) {
    case "symmetric":
    case "hmac":
      return Uint8Array.from(randomBytes(facts.bytes));
    case "rsa":
      return newRsaMaterial(facts.modulusBits);
    case "ec":
    case "sm2":
      return pkcs8Of(generateKeyPairSync("ec", { namedCurve: facts.curve }).privateKey);
    case "ed25519":
      return pkcs8Of(generateKeyPairSync("ed25519").privateKey);
    case "ml-dsa":
      return newMlDsaMaterial(facts.parameters);
    default:
      throw facts satisfies never;
  }
}

function newRsaMaterial(modulusLength: number): Promise<Uint8Array> {
  const options = { modulusLength, publicExponent: RSA_PUBLIC_EXPONENT };
  return new Promise((resolve, reject) => {
    generateKeyPair("rsa", options, (error, _publicKey, privateKey) =>
      error ? reject(error) : resolve(pkcs8Of(privateKey)),
    );
  });
}

function pkcs8Of(key: KeyObject): Uint8Array {
  return Uint8Array.from(key.export({ format: "der", type: "pkcs8" }));
}
