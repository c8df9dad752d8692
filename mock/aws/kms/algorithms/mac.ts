/**
 * GenerateMac and VerifyMac.
 *
 * Source: KMS API Reference; FIPS 198-1.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { KEY_SPECS, type KeySpec, type MacAlgorithm } from "./key-specs.ts";
import { incompatibleAlgorithm, invalidMac } from "./refusals.ts";

export interface MacRequest {
  readonly spec: KeySpec;
  readonly material: Uint8Array;
  readonly algorithm: MacAlgorithm;
  readonly message: Uint8Array;
}

const HASH: Readonly<Record<MacAlgorithm, string>> = {
  HMAC_SHA_224: "sha224",
  HMAC_SHA_256: "sha256",
  HMAC_SHA_384: "sha384",
  HMAC_SHA_512: "sha512",
};

/** @throws {AwsFault} `InvalidKeyUsageException` */
export function generateMac({ spec, material, algorithm, message }: MacRequest): Uint8Array {
  if (!KEY_SPECS[spec].macAlgorithms.includes(algorithm)) throw incompatibleAlgorithm(algorithm, spec);
  return Uint8Array.from(createHmac(HASH[algorithm], material).update(message).digest());
}

/**
 * Returns if the MAC is the key's, in full length, and not otherwise.
 *
 * @throws {AwsFault} `KMSInvalidMacException`, `InvalidKeyUsageException`
 */
export function verifyMac({ mac, ...request }: MacRequest & { readonly mac: Uint8Array }): void {
  const expected = generateMac(request);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) throw invalidMac();
}
