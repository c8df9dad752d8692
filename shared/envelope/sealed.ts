/**
 * Seals data in the AWS Encryption SDK message format, and opens it: any Encryption SDK in any language reads it.
 *
 *   algorithm suite 0x0578 (AES-256-GCM, HKDF, key commitment, ECDSA P-384 signature) · one encrypted data key
 *   · the KMS key named by its full ARN · an encryption context that opening demands again
 *
 * The KMS client is a value: outside the enclave a plain one, inside an attested one, so that the data key is released
 * to measured code only. Nothing of the plaintext is given out before the message's signature has been verified.
 *
 * Source: AWS Encryption SDK Developer Guide, "Message format reference", "Commitment policy".
 *
 * @module
 */
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  KmsKeyringNode,
  type KmsNodeClientSupplier,
} from "@aws-crypto/client-node";
import type {
  DecryptCommandInput,
  DecryptCommandOutput,
  EncryptCommandInput,
  EncryptCommandOutput,
  GenerateDataKeyCommandInput,
  GenerateDataKeyCommandOutput,
} from "@aws-sdk/client-kms";
import { DataError } from "../errors/index.ts";

/** Pairs that are bound to the message in clear: authenticated, logged by CloudTrail, never secret. */
export type EncryptionContext = Readonly<Record<string, string>>;

/** The calls that sealing and opening make; `KMS` of `@aws-sdk/client-kms` has them. */
export interface KmsCalls {
  generateDataKey(input: GenerateDataKeyCommandInput): Promise<GenerateDataKeyCommandOutput>;
  encrypt(input: EncryptCommandInput): Promise<EncryptCommandOutput>;
  decrypt(input: DecryptCommandInput): Promise<DecryptCommandOutput>;
}
type KeyringClient = Exclude<ReturnType<KmsNodeClientSupplier>, false>;

export interface SealOptions {
  readonly kms: KmsCalls;
  /** Full ARN of the KMS key; neither an alias nor a bare id. */
  readonly keyArn: string;
  readonly context: EncryptionContext;
}

export interface OpenOptions extends SealOptions {
  /** Name of the data set, for errors. */
  readonly dataset: string;
}

const { encrypt, decrypt } = buildClient({
  commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  maxEncryptedDataKeys: 1,
});
/** AES-256-GCM, HKDF-SHA-512, key commitment, ECDSA P-384: the one suite that is sealed with and opened. */
const SUITE = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;
/** One frame holds 64 KiB: larger than the library's 4 KiB, which costs a cipher object per frame. */
const FRAME_BYTES = 65_536;

/** @throws the KMS client's own exceptions */
export async function seal(plaintext: Uint8Array, { kms, keyArn, context }: SealOptions): Promise<Uint8Array> {
  checkContext(context);
  const { client } = keyringClient(kms);
  const keyring = new KmsKeyringNode({ generatorKeyId: keyArn, clientProvider: () => client });
  const { result } = await encrypt(keyring, plaintext, {
    suiteId: SUITE,
    encryptionContext: { ...context },
    frameLength: FRAME_BYTES,
    plaintextLength: plaintext.length,
  });
  return new Uint8Array(result);
}

/**
 * Opens a message that was sealed with the same key and context.
 *
 * @throws {DataError} `ERR_DATA_NOT_OPENED`, one code whatever is wrong with the message
 * @throws what the KMS client threw, when KMS did not release the data key
 */
export async function open(message: Uint8Array, { kms, keyArn, context, dataset }: OpenOptions): Promise<Uint8Array> {
  checkContext(context);
  const { client, failure } = keyringClient(kms);
  const keyring = new KmsKeyringNode({ keyIds: [keyArn], clientProvider: () => client });
  try {
    const { plaintext, messageHeader } = await decrypt(keyring, message);
    const { encryptionContext: bound, suiteId } = messageHeader;
    const isAsSealed = suiteId === SUITE && Object.entries(context).every(([name, value]) => bound[name] === value);
    const bytes = new Uint8Array(plaintext);
    plaintext.fill(0);
    if (isAsSealed) return bytes;
    bytes.fill(0);
    throw new DataError("ERR_DATA_NOT_OPENED", { dataset });
  } catch (cause) {
    // The library folds KMS's refusal into its own text; the caller needs the refusal itself.
    if (failure() !== undefined) throw failure();
    throw new DataError("ERR_DATA_NOT_OPENED", { dataset }, { cause });
  }
}

/** A message that is bound to nothing could be moved to any other place. */
function checkContext(context: EncryptionContext): void {
  if (Object.keys(context).length === 0) throw new RangeError("the encryption context names one pair or more");
}

/** The KMS client in the form that the library's keyring calls, remembering why a Decrypt failed. */
function keyringClient(kms: KmsCalls): { readonly client: KeyringClient; readonly failure: () => unknown } {
  let failure: unknown;
  const client: KeyringClient = {
    async generateDataKey(input) {
      const { CiphertextBlob, Plaintext, KeyId } = await kms.generateDataKey(input);
      return { ...(CiphertextBlob && { CiphertextBlob }), ...(Plaintext && { Plaintext }), ...(KeyId && { KeyId }) };
    },
    async encrypt(input) {
      const { CiphertextBlob, KeyId } = await kms.encrypt(input);
      return { ...(CiphertextBlob && { CiphertextBlob }), ...(KeyId && { KeyId }) };
    },
    async decrypt(input) {
      try {
        const { Plaintext, KeyId } = await kms.decrypt(input);
        return { ...(Plaintext && { Plaintext }), ...(KeyId && { KeyId }) };
      } catch (error) {
        failure = error;
        throw error;
      }
    },
  };
  return { client, failure: () => failure };
}
