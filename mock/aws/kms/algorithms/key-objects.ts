/**
 * Key material as the libraries want it: parsed once, then kept.
 *
 * RSA, the curves and Ed25519 are OpenSSL's; the scalar beside them is for what OpenSSL does not offer through Node, such
 * as ECDSA over a digest.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readPublicKeyInfo, readScalar } from "./der.ts";
import { MaterialCache } from "./material-cache.ts";

export interface KeyObjects {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
}

/** A key on a curve as numbers: big-endian scalar, uncompressed point. */
export interface CurveKey {
  readonly scalar: Uint8Array;
  readonly point: Uint8Array;
}

const parsedKeys = new MaterialCache<KeyObjects>((material) => {
  const privateKey = readPrivateKey(material);
  const publicKey = createPublicKey(privateKey);
  return { privateKey, publicKey, spki: Uint8Array.from(publicKey.export({ format: "der", type: "spki" })) };
});

const curveKeys = new MaterialCache<CurveKey>((material) => ({
  scalar: Uint8Array.from(readScalar(material)),
  point: readPublicKeyInfo(keyObjects(material).spki).key,
}));

/** Of PKCS#8 material for RSA, a curve or Ed25519. */
export function keyObjects(material: Uint8Array): KeyObjects {
  return parsedKeys.get(material);
}

export function curveKey(material: Uint8Array): CurveKey {
  return curveKeys.get(material);
}

/** @throws {Error} OpenSSL's, for what is not an unencrypted PKCS#8 key */
export function readPrivateKey(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
}
