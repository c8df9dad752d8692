/**
 * What an answer for a recipient holds when a fault is played: the message, and what else is wrong.
 *
 *   M25 Plaintext beside the message · M26 no message · M27 base64 that is none · M28 the message of an earlier answer
 *   all others: the message of `messages.ts`
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { keyArn } from "../identifiers.ts";
import { sealForRecipient } from "../recipient-message.ts";
import type { KeyRow } from "../rows.ts";
import { strangersKey } from "./key-transport.ts";
import { MESSAGE_FAULTS, malformedMessage } from "./messages.ts";

/** The secret that an answer is about, and who is to have it. */
export interface AnsweredSecret {
  /** Absent for GenerateRandom. */
  readonly key?: KeyRow | undefined;
  readonly plaintext: Uint8Array;
  /** Where the plaintext stands when there is no recipient. */
  readonly member: string;
  /** DER SubjectPublicKeyInfo of the recipient. */
  readonly publicKey: Uint8Array;
  /** The message of the last honest answer, if there was one. */
  readonly earlier: Uint8Array | undefined;
}

/** Members by name; a text stands in the answer as it is, bytes in base64. */
export type AnswerMembers = Record<string, Uint8Array | string>;

type SpoilAnswer = (secret: AnsweredSecret) => AnswerMembers;

const ANSWERS: Readonly<Record<string, SpoilAnswer>> = {
  plaintext: besidePlaintext,
  M25: besidePlaintext,
  "M26-no-message": () => ({}),
  "M26-plaintext-instead": ({ member, plaintext }) => ({ [member]: plaintext }),
  "M27-whitespace": inBase64((text) => `${text.slice(0, 76)}\r\n${text.slice(76)}`),
  "M27-url-alphabet": inBase64((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
  "M27-padding": inBase64((text) => (text.endsWith("=") ? text.slice(0, -1) : `${text}=`)),
  M28: ({ earlier }) => (earlier ? { CiphertextForRecipient: earlier } : {}),
  "cms-for-another-key": messageOf("M24"),
  "cms-foreign-recipient-id": ({ plaintext, publicKey }) => ({
    CiphertextForRecipient: sealForRecipient(plaintext, { encryptTo: publicKey, nameAs: strangersKey() }),
  }),
  "foreign-key-id": (secret) => ({
    ...honestAnswer(secret),
    ...(secret.key ? { KeyId: keyArn(secret.key, randomUUID()) } : {}),
  }),
};

/** Every fault of an answer for a recipient, in the order of the table. */
export const ANSWER_FAULTS: readonly string[] = [...MESSAGE_FAULTS.keys(), ...Object.keys(ANSWERS)];

export function honestAnswer({ plaintext, publicKey }: AnsweredSecret): {
  readonly CiphertextForRecipient: Uint8Array;
} {
  return { CiphertextForRecipient: sealForRecipient(plaintext, { encryptTo: publicKey, nameAs: publicKey }) };
}

/** @throws {RangeError} there is no such fault */
export function spoiledAnswer(fault: string, secret: AnsweredSecret): AnswerMembers {
  return (ANSWERS[fault] ?? messageOf(fault))(secret);
}

function messageOf(fault: string): SpoilAnswer {
  return (secret) => ({ CiphertextForRecipient: malformedMessage(fault, secret) });
}

function besidePlaintext(secret: AnsweredSecret): AnswerMembers {
  return { ...honestAnswer(secret), [secret.member]: secret.plaintext };
}

/** An honest message in text that is no base64. */
function inBase64(spoil: (text: string) => string): SpoilAnswer {
  return (secret) => {
    const text = Buffer.from(honestAnswer(secret).CiphertextForRecipient).toString("base64");
    const spoiled = spoil(text);
    // Without a `+` or `/` there is nothing to write otherwise: another message has one.
    return spoiled === text ? inBase64(spoil)(secret) : { CiphertextForRecipient: spoiled };
  };
}
