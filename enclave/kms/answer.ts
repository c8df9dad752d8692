/**
 * Decides whether an answer of KMS is one to the question that was asked, before its message is opened and after.
 *
 * Refused: plaintext beside a Recipient, no message, another key, another algorithm, a data key of another length or one
 * that nobody can ask KMS for again.
 *
 * Source: AWS KMS API Reference, the responses of the five operations that take a `Recipient`.
 *
 * @module
 */
import { KmsError } from "../../shared/errors/index.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Operation → the output field that holds the secret. Nothing else takes a Recipient. */
export const SECRET_FIELDS: ReadonlyMap<string, string> = new Map([
  ["Decrypt", "Plaintext"],
  ["GenerateDataKey", "Plaintext"],
  ["GenerateDataKeyPair", "PrivateKeyPlaintext"],
  ["GenerateRandom", "Plaintext"],
  ["DeriveSharedSecret", "SharedSecret"],
]);

/** Regions and partitions as AWS writes them; a key id as UUID or multi-Region id. */
const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]{1,256}$/;

/** The key that a call names. @throws {KmsError} `ERR_KMS_KEY_ID_NOT_ARN` */
export function pinnedKey(operation: string, input: Fields): string | undefined {
  if (operation === "GenerateRandom") return undefined;
  const keyId = input["KeyId"];
  if (typeof keyId === "string" && KEY_ARN.test(keyId)) return keyId;
  throw new KmsError("ERR_KMS_KEY_ID_NOT_ARN", { keyId: typeof keyId === "string" ? keyId.slice(0, 200) : "nothing" });
}

export interface Answered {
  readonly operation: string;
  readonly secretField: string;
  readonly keyArn: string | undefined;
  readonly input: Fields;
  readonly answer: Fields;
}

/** The message of an answer that may be opened: everything that can be judged before has been. @throws {KmsError} */
export function checkAnswer({ operation, secretField, keyArn, input, answer }: Answered): Uint8Array {
  const { [secretField]: secret, CiphertextForRecipient: message } = answer;
  // "Null or empty" says the API reference; anything else did not come from KMS.
  if (secret instanceof Uint8Array ? secret.length > 0 : secret !== undefined && secret !== null) {
    throw new KmsError("ERR_KMS_PLAINTEXT_IN_RESPONSE", { operation });
  }
  if (!(message instanceof Uint8Array) || message.length === 0) {
    throw new KmsError("ERR_KMS_RECIPIENT_MISSING", { operation });
  }
  if (keyArn !== undefined && answer["KeyId"] !== keyArn) {
    throw new KmsError("ERR_KMS_KEY_ID_MISMATCH", { expected: keyArn, actual: named(answer["KeyId"]) });
  }
  const algorithm = input["EncryptionAlgorithm"] ?? "SYMMETRIC_DEFAULT";
  if (operation === "Decrypt" && answer["EncryptionAlgorithm"] !== algorithm) {
    const actual = named(answer["EncryptionAlgorithm"]);
    throw new KmsError("ERR_KMS_ALGORITHM_MISMATCH", { expected: named(algorithm), actual });
  }
  return message;
}

/** Overwrites a data key that it refuses. @throws {KmsError} `ERR_KMS_DATA_KEY_INVALID` */
export function checkDataKey({ operation, input, answer }: Answered, secret: Uint8Array): void {
  if (operation !== "GenerateDataKey") return;
  const expectedBytes =
    input["KeySpec"] === "AES_256" ? 32 : input["KeySpec"] === "AES_128" ? 16 : input["NumberOfBytes"];
  const blob = answer["CiphertextBlob"];
  if (secret.length === expectedBytes && blob instanceof Uint8Array && blob.length > 0) return;
  const actualBytes = secret.length;
  secret.fill(0);
  throw new KmsError("ERR_KMS_DATA_KEY_INVALID", { expectedBytes: Number(expectedBytes), actualBytes });
}

function named(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 200) : "nothing";
}
