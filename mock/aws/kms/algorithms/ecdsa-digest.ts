/**
 * ECDSA over a digest that the caller made: what Node's own functions, which always hash, do not offer.
 *
 * Signatures are hedged, so that two of one digest differ as KMS's do; either half of the range of s is taken.
 *
 * Source: FIPS 186-5 §6.4; RFC 6979 §3.6 (additional data); RFC 3279 §2.2.3 (DER).
 *
 * @module
 */
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { readSignature, writeSignature } from "./der.ts";
import type { CurveKey } from "./key-objects.ts";
import type { KeySpec } from "./key-specs.ts";

const CURVES: Readonly<Partial<Record<KeySpec, typeof p256>>> = {
  ECC_NIST_P256: p256,
  ECC_NIST_P384: p384,
  ECC_NIST_P521: p521,
  ECC_SECG_P256K1: secp256k1,
};
const BARE = { prehash: false, lowS: false } as const;

export function ecdsaSignDigest(
  spec: KeySpec,
  { scalar, digest }: { readonly scalar: CurveKey["scalar"]; readonly digest: Uint8Array },
): Uint8Array {
  return writeSignature(curveOf(spec).sign(digest, scalar, { ...BARE, extraEntropy: true }));
}

export interface SignedDigest {
  readonly point: CurveKey["point"];
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
}

export function isEcdsaSignature(spec: KeySpec, { point, digest, signature }: SignedDigest): boolean {
  const curve = curveOf(spec);
  const pair = readSignature(signature, (curve.lengths.signature ?? 0) / 2);
  return pair !== undefined && curve.verify(pair, digest, point, BARE);
}

function curveOf(spec: KeySpec): typeof p256 {
  const curve = CURVES[spec];
  if (!curve) throw new TypeError(`${spec} has no ECDSA`);
  return curve;
}
