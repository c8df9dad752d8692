/**
 * Verifies an enclave's answer: who computed it, for which question, and that nobody changed it.
 *
 *   the document answers *this* nonce, comes from an allowed image and vouches for this very result
 *   · the key in it signed nonce and result
 *
 * @module
 */
import { type VerifiedAttestation, verifyAttestation } from "../shared/attestation/index.ts";
import { DataError } from "../shared/errors/index.ts";
import {
  RESULT_KEY_ALGORITHM,
  RESULT_SIGNATURE_ALGORITHM,
  resultUserData,
  type SignedResultJson,
  signedMessage,
} from "../shared/result/signed-result.ts";
import type { EnclavePolicy } from "../shared/session/bound-document.ts";

export type { EnclavePolicy };

export interface VerifyResultOptions {
  readonly policy: EnclavePolicy;
  /** What was asked: method and path, e.g. `POST /queries/by-state`. */
  readonly question: string;
  /** The challenge that was sent with the question. */
  readonly nonce: Uint8Array;
  /** The moment to judge at. Default: the system's clock. */
  readonly now?: Date;
}

export interface VerifiedResult {
  /** The result's text, as the enclave signed it. */
  readonly result: string;
  readonly attestation: VerifiedAttestation;
}

/**
 * @throws {AttestationError} the document does not prove what the policy demands, or vouches for another result
 * @throws {DataError} `ERR_DATA_RESULT_SIGNATURE`
 */
export async function verifyResult(
  answer: SignedResultJson,
  { policy, question, nonce, now = new Date() }: VerifyResultOptions,
): Promise<VerifiedResult> {
  // Read once: what is checked below is what is given back.
  const { result, signature, document } = answer;
  if (typeof result !== "string" || !result.isWellFormed()) throw new DataError("ERR_DATA_RESULT_SIGNATURE", {});
  const userData = await resultUserData({ question, result });
  const demanded = { ...policy, nonce, userData, publicKey: "unchecked" } as const;
  const attestation = await verifyAttestation(fromBase64(document), demanded, { now });
  const message = signedMessage(nonce, { question, result });
  if (!(await isSigned(attestation.publicKey, fromBase64(signature), message))) {
    throw new DataError("ERR_DATA_RESULT_SIGNATURE", {});
  }
  return { result, attestation };
}

async function isSigned(
  spki: Uint8Array | undefined,
  signature: Uint8Array<ArrayBuffer>,
  message: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  if (!spki) return false;
  let key: Awaited<ReturnType<typeof crypto.subtle.importKey>>;
  try {
    key = await crypto.subtle.importKey("spki", Uint8Array.from(spki), RESULT_KEY_ALGORITHM, false, ["verify"]);
  } catch (cause) {
    throw new DataError("ERR_DATA_RESULT_SIGNATURE", {}, { cause });
  }
  return crypto.subtle.verify(RESULT_SIGNATURE_ALGORITHM, key, signature, message);
}

/** Strict base64; a peer's text is not trusted to be any. */
function fromBase64(text: unknown): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string" || text.length > 65_536 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4) {
    throw new DataError("ERR_DATA_RESULT_SIGNATURE", {});
  }
  return new Uint8Array(Buffer.from(text, "base64"));
}
