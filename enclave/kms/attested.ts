/**
 * Makes an unmodified `@aws-sdk/client-kms` attest: the five operations that return a secret send a fresh attestation
 * document, and the opened plaintext stands where the caller expects it.
 *
 *   take a key pair → ask NSM for a document that carries it → add Recipient → check the answer → open it
 *
 * An answer is refused when it carries plaintext, lacks the recipient message, or names another key. There is no
 * fallback: a call that is not attested is not made.
 *
 * Source: AWS KMS API Reference, `RecipientInfo`; KMS Developer Guide "Cryptographic attestation support".
 *
 * @module
 */
import type { KMSClient } from "@aws-sdk/client-kms";
import { KmsError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { openRecipientMessage } from "./recipient.ts";
import type { RecipientKeys } from "./recipient-keys.ts";

/** Command → the output field that holds the secret. Nothing else takes a Recipient. */
const SECRET_FIELDS: Readonly<Record<string, string>> = {
  DecryptCommand: "Plaintext",
  GenerateDataKeyCommand: "Plaintext",
  GenerateDataKeyPairCommand: "PrivateKeyPlaintext",
  GenerateRandomCommand: "Plaintext",
  DeriveSharedSecretCommand: "SharedSecret",
};
/** Regions and partitions as AWS writes them; a key id as UUID or multi-Region id. */
const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]{1,256}$/;

export interface AttestedOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  readonly keys: RecipientKeys;
}

type Fields = Record<string, unknown>;
type MiddlewareStack = KMSClient["middlewareStack"];
type Plugin = { readonly applyToStack: (stack: MiddlewareStack) => void };

/**
 * A plugin: `client.middlewareStack.use(attested({ nsm, keys }))`. The key is named by its full ARN in every call.
 *
 * @throws {KmsError} from the client's calls, beside the SDK's own exceptions
 */
export function attested({ nsm, keys }: AttestedOptions): Plugin {
  return {
    applyToStack(stack) {
      stack.add(
        (next, context) => async (args) => {
          // Without a name nobody can tell whether the call returns a secret: it is not made.
          if (!context.commandName) throw new TypeError("the SDK gave no name to this call");
          const operation = context.commandName.replace(/Command$/, "");
          const secretField = SECRET_FIELDS[`${operation}Command`];
          if (secretField === undefined) return next(args);
          const input = args.input as Fields;
          const keyArn = pinnedKey(operation, input);
          const key = await keys.take();
          const document = await nsm.attest({ publicKey: key.publicKey });
          const Recipient = { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256", AttestationDocument: document };
          const result = await next({ ...args, input: { ...input, Recipient } as typeof args.input });
          const answer = result.output as object as Fields;
          checkAnswer({ operation, secretField, keyArn, input, answer });
          const { [secretField]: _, CiphertextForRecipient: message, ...rest } = answer;
          const secret = openRecipientMessage(message as Uint8Array, key);
          checkDataKey(operation, input, answer, secret);
          return { ...result, output: { ...rest, [secretField]: secret } as object as typeof result.output };
        },
        { step: "initialize", name: "cloisterAttested", priority: "low", override: true },
      );
    },
  };
}

function pinnedKey(operation: string, input: Fields): string | undefined {
  if (operation === "GenerateRandom") return undefined;
  const keyId = input["KeyId"];
  if (typeof keyId === "string" && KEY_ARN.test(keyId)) return keyId;
  throw new KmsError("ERR_KMS_KEY_ID_NOT_ARN", { keyId: typeof keyId === "string" ? keyId.slice(0, 200) : "nothing" });
}

interface Answered {
  readonly operation: string;
  readonly secretField: string;
  readonly keyArn: string | undefined;
  readonly input: Fields;
  readonly answer: Fields;
}

/** Everything that can be judged before the message is opened. */
function checkAnswer({ operation, secretField, keyArn, input, answer }: Answered): void {
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
}

/** A data key that is shorter than asked for, or that nobody can ask KMS for again, is none. */
function checkDataKey(operation: string, input: Fields, answer: Fields, secret: Uint8Array): void {
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
