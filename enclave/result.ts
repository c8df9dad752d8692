/**
 * Signs answers with a key that lives in this enclave only, and lets NSM vouch for it.
 *
 * @module
 */
import type { NsmDevice } from "../shared/nsm/device.ts";
import {
  type QuestionAndResult,
  RESULT_KEY_ALGORITHM,
  RESULT_SIGNATURE_ALGORITHM,
  resultUserData,
  type SignedResultJson,
  signedMessage,
} from "../shared/result/signed-result.ts";

export interface ResultSigner {
  /** @param nonce the client's challenge, 16 to 1024 bytes */
  sign(answer: QuestionAndResult, nonce: Uint8Array): Promise<SignedResultJson>;
}

/** Makes a signing key that ends with this process; the private key can not be exported. */
export async function createResultSigner(nsm: Pick<NsmDevice, "attest">): Promise<ResultSigner> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(RESULT_KEY_ALGORITHM, false, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  return {
    async sign({ question, result }, nonce) {
      // A lone surrogate has no UTF-8: another text could carry the same signature.
      if (!question.isWellFormed() || !result.isWellFormed())
        throw new TypeError("question and result are Unicode text");
      const message = signedMessage(nonce, { question, result });
      const signature = await crypto.subtle.sign(RESULT_SIGNATURE_ALGORITHM, privateKey, message);
      const userData = await resultUserData({ question, result });
      const document = await nsm.attest({ publicKey: spki, nonce, userData });
      return { result, signature: base64(new Uint8Array(signature)), document: base64(document) };
    },
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
