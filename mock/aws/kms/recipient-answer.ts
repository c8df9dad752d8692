/**
 * The last step of the five operations that can answer an enclave: the secret in clear, or sealed for the recipient.
 *
 * To a recipient goes only the message; the secret's own member then is not in the answer at all.
 *
 * Source: KMS API Reference, "Recipient", "CiphertextForRecipient".
 *
 * @module
 */
import type { RecipientInfo } from "@aws-sdk/client-kms";
import { honestAnswer, spoiledAnswer } from "./faults/answer.ts";
import { type Recipient, recipientEventData, verifyRecipient } from "./recipient.ts";
import type { KmsRequest } from "./request.ts";
import type { KeyRow } from "./rows.ts";

/** Verifies the request's document, if it has one. @throws {AwsFault} `ValidationException` */
export async function readRecipient(
  { state, now, audit }: KmsRequest,
  input: RecipientInfo | undefined,
): Promise<Recipient | undefined> {
  if (!input) return undefined;
  const { recipientRules } = state;
  const clientTime = recipientRules.clientTime?.(now) ?? now;
  const recipient = await verifyRecipient(input, recipientRules, clientTime, audit);
  audit.additionalEventData = { recipient: recipientEventData(recipient.claims) };
  return recipient;
}

export interface Secret {
  /** Absent for GenerateRandom. */
  readonly key?: KeyRow;
  readonly plaintext: Uint8Array;
  readonly recipient: Recipient | undefined;
  /** Where it stands when there is no recipient. */
  readonly member: "Plaintext" | "PrivateKeyPlaintext" | "SharedSecret";
}

export function handOver(
  { state: { faults } }: KmsRequest,
  operation: string,
  { key, plaintext, recipient, member }: Secret,
): Record<string, Uint8Array | string> {
  if (!recipient) return { [member]: plaintext };
  const fault = faults.forRecipient(operation);
  const secret = { key, plaintext, member, publicKey: recipient.publicKey, earlier: faults.earlier };
  if (fault !== undefined) return spoiledAnswer(fault, secret);
  const answer = honestAnswer(secret);
  faults.remember(answer.CiphertextForRecipient);
  return answer;
}
