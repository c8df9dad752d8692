/**
 * How long the material of a key is that is random bytes and nothing else.
 *
 * Source: KMS Developer Guide, "Key spec reference" and "Importing key material step 1: requirements".
 *
 * @module
 */
export const SECRET_SIZES = [
  ["SYMMETRIC_DEFAULT", 32],
  ["HMAC_224", 28],
  ["HMAC_256", 32],
  ["HMAC_384", 48],
  ["HMAC_512", 64],
] as const;
