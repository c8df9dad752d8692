/**
 * Random bytes, Encrypt, Decrypt, ReEncrypt: sizes, contexts, keys of another use.
 *
 * @module
 */
import type { EncryptionAlgorithmSpec, KeySpec } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";

const MESSAGE = utf8("dGVzdCBtZXNzYWdlIDEyMyAhJSRAIDEyMzQ1Njc4OTA=");
const SYMMETRIC = "SYMMETRIC_DEFAULT";

const randomLengths = [12, 44, 91, 1, 1024].map(
  (NumberOfBytes): Recipe => ({
    id: kms(`generate_random[${NumberOfBytes}]`),
    run: async (aws) => {
      const { Plaintext } = await aws.kms().generateRandom({ NumberOfBytes });
      aws.note("result_length", Plaintext?.length);
    },
  }),
);

const refusedLengths = [undefined, 0, 1025].map(
  (NumberOfBytes): Recipe => ({
    id: kms(`generate_random_invalid_number_of_bytes[${NumberOfBytes ?? "None"}]`),
    run: (aws) => aws.refusal("generate-random-exc", aws.kms().generateRandom({ NumberOfBytes })),
  }),
);

const tooLong = (["RSA_2048", "RSA_3072", "RSA_4096"] as const).flatMap((spec) =>
  (["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const).map(
    (EncryptionAlgorithm): Recipe => ({
      id: kms(`encrypt_validate_plaintext_size_per_key_type[${spec}-${EncryptionAlgorithm}]`),
      run: async (aws) => {
        const { id: KeyId } = await newKey(aws, { KeyUsage: "ENCRYPT_DECRYPT", KeySpec: spec });
        const Plaintext = new Uint8Array(1_200);
        await aws.refusal("generate-random-exc", aws.kms().encrypt({ KeyId, Plaintext, EncryptionAlgorithm }));
      },
    }),
  ),
);

function reEncrypted(spec: KeySpec, algorithm: EncryptionAlgorithmSpec): Recipe {
  return {
    id: kms(`re_encrypt[${spec}-${algorithm}]`),
    run: async (aws) => {
      const source = await newKey(aws, { KeyUsage: "ENCRYPT_DECRYPT", KeySpec: spec });
      const destination = await newKey(aws, { KeyUsage: "ENCRYPT_DECRYPT", KeySpec: spec });
      const { CiphertextBlob } = await aws
        .kms()
        .encrypt({ KeyId: source.id, Plaintext: MESSAGE, EncryptionAlgorithm: algorithm });
      const again = aws.kms().reEncrypt({
        CiphertextBlob,
        SourceKeyId: source.id,
        SourceEncryptionAlgorithm: algorithm,
        DestinationKeyId: destination.id,
        DestinationEncryptionAlgorithm: algorithm,
      });
      await aws.answer("test_re_encrypt", again, { "<key-id:1>": destination.arn, "<key-arn>": source.arn });
    },
  };
}

export const encryptionRecipes: readonly Recipe[] = [
  ...randomLengths,
  ...refusedLengths,
  ...tooLong,
  {
    id: kms("plaintext_size_for_encrypt"),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws);
      const call = aws.kms().encrypt({ KeyId, Plaintext: new Uint8Array(4_300) });
      await aws.refusal("invalid-plaintext-size-encrypt", call);
    },
  },
  reEncrypted(SYMMETRIC, SYMMETRIC),
  reEncrypted("RSA_2048", "RSAES_OAEP_SHA_256"),
  {
    id: kms("re_encrypt_incorrect_source_key"),
    run: async (aws) => {
      const source = await newKey(aws);
      const mac = await newKey(aws, { KeySpec: "HMAC_224", KeyUsage: "GENERATE_VERIFY_MAC" });
      const { CiphertextBlob } = await aws.kms().encrypt({ KeyId: source.id, Plaintext: MESSAGE });
      const names = { SourceKeyId: mac.id, DestinationKeyId: mac.id };
      const algorithms = { SourceEncryptionAlgorithm: SYMMETRIC, DestinationEncryptionAlgorithm: SYMMETRIC } as const;
      await aws.refusal("incorrect-source-key", aws.kms().reEncrypt({ CiphertextBlob, ...names, ...algorithms }));
    },
  },
  {
    id: kms("encrypt_decrypt_encryption_context"),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      const bound = {
        KeyId,
        EncryptionAlgorithm: SYMMETRIC,
        EncryptionContext: { "context-key": "context-value" },
      } as const;
      const encrypted = aws.kms().encrypt({ ...bound, Plaintext: MESSAGE });
      const { CiphertextBlob = MESSAGE } = await aws.answer("encrypt_response", encrypted, { "<key-id:1>": arn });
      const decrypted = aws.kms().decrypt({ ...bound, CiphertextBlob });
      await aws.answer("decrypt_response_with_encryption_context", decrypted);
      const { EncryptionContext: _, ...unbound } = bound;
      const withoutContext = aws.kms().decrypt({ ...unbound, CiphertextBlob });
      await aws.refusal("decrypt_response_without_encryption_context", withoutContext);
      // The recording cut the first bytes off, and with them what names the key.
      const beheaded = aws.kms().decrypt({ ...bound, CiphertextBlob: CiphertextBlob.subarray(36) });
      await aws.refusal("decrypt_response_with_invalid_ciphertext", beheaded);
    },
  },
  {
    id: kms("error_messaging_for_invalid_keys"),
    run: async (aws) => {
      const mac = await newKey(aws, { KeySpec: "HMAC_224", KeyUsage: "GENERATE_VERIFY_MAC" });
      const symmetric = await newKey(aws);
      const signer = await newKey(aws, { KeySpec: "RSA_2048", KeyUsage: "SIGN_VERIFY" });
      const client = aws.kms();
      const generated = client.generateMac({ KeyId: symmetric.id, Message: MESSAGE, MacAlgorithm: "HMAC_SHA_224" });
      await aws.refusal("generate-mac-invalid-key-id", generated, { "<key-arn>": symmetric.arn });
      const SigningAlgorithm = "RSASSA_PSS_SHA_256";
      const signed = client.sign({ KeyId: mac.id, MessageType: "RAW", Message: MESSAGE, SigningAlgorithm });
      await aws.refusal("sign-invalid-key-id", signed, { "<key-arn>": mac.arn });
      const verified = client.verify({
        KeyId: symmetric.id,
        MessageType: "RAW",
        Message: MESSAGE,
        Signature: utf8("random text"),
        SigningAlgorithm: "ECDSA_SHA_256",
      });
      await aws.refusal("verify-invalid-key-id", verified, { "<key-arn>": symmetric.arn });
      const encrypted = client.encrypt({ KeyId: signer.id, Plaintext: MESSAGE });
      await aws.refusal("encrypt-invalid-key-id", encrypted, { "<key-arn>": signer.arn });
      const { CiphertextBlob } = await client.encrypt({ KeyId: symmetric.id, Plaintext: MESSAGE });
      await aws.refusal("decrypt-invalid-key-id", client.decrypt({ KeyId: mac.id, CiphertextBlob }));
    },
  },
];
