/**
 * What an enclave signs when it answers, and what its attestation document says about it.
 *
 *   signature     ECDSA P-384 over  domain ‖ nonce ‖ question ‖ result, each part with its length in front
 *   public_key    the signing key's SubjectPublicKeyInfo
 *   nonce         the client's challenge
 *   user_data     {"v":1,"purpose":"result","digest":"<SHA-384 of question and result>"}
 *
 * The question is bound too: whoever carries a request could change it and pass on a true answer to another one. The
 * purpose keeps a document made for one use from being taken for another.
 *
 * @module
 */
import { encodeUserData } from "../attestation/user-data.ts";
import { concat, utf8 } from "../bytes.ts";

const DOMAIN = utf8("cloister/result/v1");

export const RESULT_KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-384" } as const;
export const RESULT_SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-384" } as const;

/** An answer as it travels: byte strings in base64. */
export interface SignedResultJson {
  /** The result as text, exactly as signed. */
  readonly result: string;
  readonly signature: string;
  readonly document: string;
}

/** What was asked and what was answered. */
export interface QuestionAndResult {
  /** Method and path as the enclave saw them, e.g. `POST /queries/by-state`. */
  readonly question: string;
  /** The result's text. */
  readonly result: string;
}

/** Each part behind its length, so that no byte can move from one to the next. */
function framed(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const lengths = parts.map((part) => {
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, part.length);
    return new Uint8Array(length.buffer);
  });
  return Uint8Array.from(concat(...parts.flatMap((part, index) => [lengths[index] ?? new Uint8Array(4), part])));
}

/** The bytes that the signature covers. */
export function signedMessage(nonce: Uint8Array, { question, result }: QuestionAndResult): Uint8Array<ArrayBuffer> {
  return framed(DOMAIN, nonce, utf8(question), utf8(result));
}

/** The `user_data` of a document that vouches for a result. */
export async function resultUserData({ question, result }: QuestionAndResult): Promise<Uint8Array> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-384", framed(utf8(question), utf8(result))));
  return encodeUserData({ purpose: "result", digest });
}
