/**
 * Signs answers with a key that lives in this enclave only, and lets NSM vouch for it.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";
import type { NsmDevice } from "../shared/nsm/device.ts";
import {
  RESULT_KEY_ALGORITHM,
  RESULT_SIGNATURE_ALGORITHM,
  resultUserData,
  type SignedResultJson,
  signedMessage,
} from "../shared/result/signed-result.ts";

export interface ResultSigner {
  /** @param nonce the client's challenge, 16 to 255 bytes */
  sign(result: string, nonce: Uint8Array): Promise<SignedResultJson>;
}

/** Makes a signing key that ends with this process; the private key can not be exported. */
export async function createResultSigner(nsm: Pick<NsmDevice, "attest">): Promise<ResultSigner> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(RESULT_KEY_ALGORITHM, false, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  return {
    async sign(result, nonce) {
      const bytes = utf8(result);
      const signed = Uint8Array.from(signedMessage(nonce, bytes));
      const signature = await crypto.subtle.sign(RESULT_SIGNATURE_ALGORITHM, privateKey, signed);
      const document = await nsm.attest({ publicKey: spki, nonce, userData: await resultUserData(bytes) });
      return { result, signature: base64(new Uint8Array(signature)), document: base64(document) };
    },
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
