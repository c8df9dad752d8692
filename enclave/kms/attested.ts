/**
 * Makes an unmodified `@aws-sdk/client-kms` attest: the five operations that return a secret send an attestation
 * document, and the opened plaintext stands where the caller expects it.
 *
 *   take a key pair → take a document that carries it → add Recipient → check the answer → open it
 *
 * Each attempt of a call goes through all of it, so this plugin also stands in for the SDK's retries, for every operation
 * of the client. There is no fallback: a call that is not attested is not made.
 *
 * Source: AWS KMS API Reference, `RecipientInfo`; KMS Developer Guide "Cryptographic attestation support".
 *
 * @module
 */
import type { KMSClient } from "@aws-sdk/client-kms";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { checkAnswer, checkDataKey, type Fields, pinnedKey, SECRET_FIELDS } from "./answer.ts";
import { type CallOptions, Calls, type SdkResult } from "./calls.ts";
import { createDocuments, type DocumentOptions, type Documents, type KmsDocument } from "./documents.ts";
import type { AttemptFailure } from "./failures.ts";
import { openOnce } from "./recipient.ts";
import { createRecipientKeys, type RecipientKeys } from "./recipient-keys.ts";
import { SYSTEM_TIMING } from "./timing.ts";

export interface AttestedOptions extends CallOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** Default `createRecipientKeys()`. Clients may share them. */
  readonly keys?: RecipientKeys;
  readonly documents?: DocumentOptions;
}

type MiddlewareStack = KMSClient["middlewareStack"];
type Plugin = { readonly applyToStack: (stack: MiddlewareStack) => void };

/** Of the middleware whose place this takes. */
const SDK_RETRIES = { name: "retryMiddleware", step: "finalizeRequest", priority: "high" } as const;

/**
 * A plugin: `client.middlewareStack.use(attested({ nsm }))`. The key is named by its full ARN in every call.
 *
 * @throws {RangeError} an option
 * @throws {KmsError} from the client's calls, beside the SDK's own exceptions
 */
export function attested(options: AttestedOptions): Plugin {
  const { nsm, keys = createRecipientKeys(), documents = {}, timing = SYSTEM_TIMING } = options;
  const calls = new Calls(options);
  const source = { keys, documents: createDocuments({ nsm, monotonicMs: timing.monotonicMs, ...documents }) };
  const sent = new WeakSet<KmsDocument>();
  return {
    applyToStack(stack) {
      stack.add((next) => next, { ...SDK_RETRIES, override: true });
      stack.add(
        (next, context) => async (args) => {
          // Without a name nobody can tell whether the call returns a secret: it is not made.
          if (!context.commandName) throw new TypeError("the SDK gave no name to this call");
          const operation = context.commandName.replace(/Command$/, "");
          const secretField = SECRET_FIELDS.get(operation);
          const signal = callerSignal(context);
          if (secretField === undefined) {
            return calls.make({ operation, signal, attempt: () => next(args), mayRenew: () => false });
          }
          const input = args.input as Fields;
          const ask = async (Recipient: object): Promise<Sent> => {
            const result = await next({ ...args, input: { ...input, Recipient } as typeof args.input });
            return { answer: result.output as object as Fields, whole: result };
          };
          const call = new AttestedCall({ operation, secretField, input, ask }, source, sent);
          const mayRenew = (): boolean => call.mayRenew;
          return calls.make({ operation, signal, attempt: call.attempt, mayRenew }) as ReturnType<typeof next>;
        },
        { step: "initialize", name: "cloisterAttested", priority: "low", override: true },
      );
    },
  };
}

/** Where the SDK keeps the `abortSignal` of `send`. */
function callerSignal(context: object): AbortSignal | undefined {
  const { __smithy_context: smithy } = context as { readonly __smithy_context?: { readonly abortSignal?: unknown } };
  return smithy?.abortSignal instanceof AbortSignal ? smithy.abortSignal : undefined;
}

interface Sent {
  readonly answer: Fields;
  /** The SDK's result, whose output the answer is. */
  readonly whole: object;
}

interface Question {
  readonly operation: string;
  readonly secretField: string;
  readonly input: Fields;
  ask(recipient: object): Promise<Sent>;
}

interface Source {
  readonly keys: RecipientKeys;
  readonly documents: Documents;
}

/** One call that returns a secret, and what its attempts know of each other. */
class AttestedCall {
  readonly #question: Question;
  readonly #source: Source;
  /** Documents that have been with KMS. */
  readonly #sent: WeakSet<KmsDocument>;
  readonly #keyArn: string | undefined;
  #document: KmsDocument | undefined;
  #mayRenew = false;

  constructor(question: Question, source: Source, sent: WeakSet<KmsDocument>) {
    this.#question = question;
    this.#source = source;
    this.#sent = sent;
    this.#keyArn = pinnedKey(question.operation, question.input);
  }

  /** Whether the last attempt's document had served before. */
  get mayRenew(): boolean {
    return this.#mayRenew;
  }

  readonly attempt = async (signal: AbortSignal, failed: AttemptFailure | undefined): Promise<SdkResult> => {
    const { operation, secretField, input, ask } = this.#question;
    const key = await this.#source.keys.take();
    const isNewerAsked = failed !== undefined && failed !== "throttled";
    const document = await this.#source.documents.documentFor(key, isNewerAsked ? this.#document : undefined);
    signal.throwIfAborted();
    this.#document = document;
    this.#mayRenew = this.#sent.has(document);
    this.#sent.add(document);
    const recipient = { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256", AttestationDocument: document.bytes };
    const { answer, whole } = await ask(recipient);
    signal.throwIfAborted();
    const answered = { operation, secretField, keyArn: this.#keyArn, input, answer };
    const secret = openOnce(checkAnswer(answered), key);
    checkDataKey(answered, secret);
    const { [secretField]: _, CiphertextForRecipient: __, ...rest } = answer;
    return { ...whole, output: { ...rest, [secretField]: secret } };
  };
}
