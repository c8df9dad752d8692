/**
 * Plays an evil or a busy KMS behind valid TLS: answers that a careful client must refuse, or wait out.
 *
 * Faults are queued by operation and used up in order. All but `throttle` are played on answers that carry
 * CiphertextForRecipient, and wait for one.
 *
 * @module
 */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import { type KmsKey, keyArn } from "./keys.ts";
import type { RecipientKeys } from "./recipient-message.ts";

export type FaultAnswer =
  /** Carries Plaintext beside CiphertextForRecipient. */
  | "plaintext"
  /** Names another key. */
  | "foreign-key-id"
  /** The message is for another RSA key, and says so. */
  | "cms-for-another-key"
  /** The message opens with the right key and names another. */
  | "cms-foreign-recipient-id"
  /** ThrottlingException. */
  | "throttle";

export const FAULT_ANSWERS: readonly FaultAnswer[] = [
  "plaintext",
  "foreign-key-id",
  "cms-for-another-key",
  "cms-foreign-recipient-id",
  "throttle",
];

export type FaultOperation = "Decrypt" | "GenerateDataKey";

export interface Fault {
  readonly operation: FaultOperation;
  readonly answer: FaultAnswer;
  /** How many answers it spoils. */
  readonly times: number;
}

export class FaultQueue {
  readonly #queue: { operation: string; answer: FaultAnswer; left: number }[] = [];

  /** @throws {RangeError} `times` is not a positive integer */
  inject({ operation, answer, times }: Fault): void {
    if (!Number.isSafeInteger(times) || times < 1) throw new RangeError(`times must be at least 1, got ${times}`);
    this.#queue.push({ operation, answer, left: times });
  }

  /** @throws {AwsFault} `ThrottlingException` when one is due */
  throttle(operation: string): void {
    if (this.#take(operation, (answer) => answer === "throttle"))
      throw new AwsFault(
        "ThrottlingException",
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
      );
  }

  /** The fault to play on an answer for a recipient, if one is due. */
  forRecipient(operation: string): FaultAnswer | undefined {
    return this.#take(operation, (answer) => answer !== "throttle");
  }

  #take(operation: string, wanted: (answer: FaultAnswer) => boolean): FaultAnswer | undefined {
    const index = this.#queue.findIndex((fault) => fault.operation === operation && wanted(fault.answer));
    const fault = this.#queue[index];
    if (!fault) return undefined;
    fault.left--;
    if (fault.left === 0) this.#queue.splice(index, 1);
    return fault.answer;
  }
}

/** To which key the message goes, and by which it is named. */
export function recipientKeysUnder(fault: FaultAnswer | undefined, publicKey: Uint8Array): RecipientKeys {
  if (fault !== "cms-for-another-key" && fault !== "cms-foreign-recipient-id")
    return { encryptTo: publicKey, nameAs: publicKey };
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "der", type: "spki" });
  return { encryptTo: fault === "cms-for-another-key" ? other : publicKey, nameAs: other };
}

/** What the fault changes in the answer beside the message. */
export function spoiledMembers(fault: FaultAnswer | undefined, key: KmsKey, plaintext: Uint8Array): JsonObject {
  if (fault === "plaintext") return { Plaintext: Buffer.from(plaintext).toString("base64") };
  if (fault === "foreign-key-id") return { KeyId: keyArn(key, randomUUID()) };
  return {};
}
