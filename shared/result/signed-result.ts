/**
 * What an enclave signs when it answers, and what its attestation document says about it.
 *
 *   signature     ECDSA P-384 over  domain ‖ length(nonce) ‖ nonce ‖ result
 *   public_key    the signing key's SubjectPublicKeyInfo
 *   nonce         the client's challenge
 *   user_data     {"v":1,"purpose":"result","digest":"<SHA-384 of the result>"}
 *
 * The purpose keeps a document made for one use from being taken for another.
 *
 * @module
 */
import { encodeUserData } from "../attestation/user-data.ts";
import { concat, utf8 } from "../bytes.ts";

const DOMAIN = utf8("cloister/result/v1\0");

export const RESULT_KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-384" } as const;
export const RESULT_SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-384" } as const;

/** An answer as it travels: byte strings in base64. */
export interface SignedResultJson {
  /** The result as text, exactly as signed. */
  readonly result: string;
  readonly signature: string;
  readonly document: string;
}

/** The bytes that the signature covers. */
export function signedMessage(nonce: Uint8Array, result: Uint8Array): Uint8Array {
  if (nonce.length > 255) throw new RangeError(`a nonce has at most 255 bytes here, not ${nonce.length}`);
  return concat(DOMAIN, Uint8Array.of(nonce.length), nonce, result);
}

/** The `user_data` of a document that vouches for a result. */
export async function resultUserData(result: Uint8Array): Promise<Uint8Array> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-384", Uint8Array.from(result)));
  return encodeUserData({ purpose: "result", digest });
}
