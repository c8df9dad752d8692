/**
 * GenerateDataKey through the attested client, against a KMS that this test plays: honest but for the data key.
 */
import { Readable } from "node:stream";
import { KMS } from "@aws-sdk/client-kms";
import { describe, expect, test } from "vitest";
import { attested } from "../../enclave/kms/attested.ts";
import { createRecipientKeys } from "../../enclave/kms/recipient-keys.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";

const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const keys = createRecipientKeys();

/** A client whose KMS answers with a data key of this many bytes and, if told so, without its blob. */
function kmsWith(bytes: number, blob: string | undefined): KMS {
  let publicKey = new Uint8Array(0);
  const nsm = {
    attest: async (request: { publicKey?: Uint8Array }) => {
      publicKey = Uint8Array.from(request.publicKey ?? []);
      return Uint8Array.of(1);
    },
  };
  const handle = async () => {
    const message = sealForRecipient(new Uint8Array(bytes).fill(7), { encryptTo: publicKey, nameAs: publicKey });
    const body = { KeyId: KEY, CiphertextBlob: blob, CiphertextForRecipient: Buffer.from(message).toString("base64") };
    const headers = { "content-type": "application/x-amz-json-1.1" };
    return { response: { statusCode: 200, headers, body: Readable.from([Buffer.from(JSON.stringify(body))]) } };
  };
  const credentials = { accessKeyId: "A", secretAccessKey: "s" };
  const requestHandler = { handle, metadata: { handlerProtocol: "http/1.1" } };
  const kms = new KMS({ region: "eu-central-1", credentials, maxAttempts: 1, requestHandler: requestHandler as never });
  kms.middlewareStack.use(attested({ nsm, keys }));
  return kms;
}

describe("GenerateDataKey", () => {
  test.each([
    ["AES_256", { KeySpec: "AES_256" as const }, 32],
    ["AES_128", { KeySpec: "AES_128" as const }, 16],
    ["24 bytes", { NumberOfBytes: 24 }, 24],
  ])("%s: a key of that length, and of no other", async (_, size, bytes) => {
    const { Plaintext } = await kmsWith(bytes, "AQID").generateDataKey({ KeyId: KEY, ...size });
    expect(Plaintext).toEqual(new Uint8Array(bytes).fill(7));
    for (const wrong of [bytes - 1, bytes + 1, 0]) {
      const call = kmsWith(wrong, "AQID").generateDataKey({ KeyId: KEY, ...size });
      await expect(call, `${wrong} bytes`).rejects.toMatchObject({ code: "ERR_KMS_DATA_KEY_INVALID" });
    }
  });

  test("a key without its CiphertextBlob is none", async () => {
    const call = kmsWith(32, undefined).generateDataKey({ KeyId: KEY, KeySpec: "AES_256" });
    await expect(call).rejects.toMatchObject({ code: "ERR_KMS_DATA_KEY_INVALID" });
  });
});
