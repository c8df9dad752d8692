/**
 * Checks one ES384 signature: ECDSA on P-384 over SHA-384, as r ‖ s of 96 bytes.
 *
 * The documents and every certificate of their chains are signed this way, so this is the only place where a signature
 * is checked. WebCrypto does it; nothing else is accepted, whatever a message says of itself.
 *
 * Source: RFC 9053 §2.1; FIPS 186-5 §6.4.
 *
 * @module
 */

/** An imported public key, as WebCrypto gives it. */
export type VerifyKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

const ECDSA_P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ECDSA_SHA384 = { name: "ECDSA", hash: "SHA-384" } as const;

/**
 * Rejects, with whatever WebCrypto throws, what is not a point on P-384.
 *
 * @param point uncompressed, 97 bytes; Node takes three times as long to read it from a SubjectPublicKeyInfo
 */
export function importVerifyKey(point: Uint8Array): Promise<VerifyKey> {
  return crypto.subtle.importKey("raw", Uint8Array.from(point), ECDSA_P384, false, ["verify"]);
}

/** Whether `signature`, r ‖ s, is by `key` over `signed`. */
export function isSigned(key: VerifyKey, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  return crypto.subtle.verify(ECDSA_SHA384, key, Uint8Array.from(signature), Uint8Array.from(signed));
}
