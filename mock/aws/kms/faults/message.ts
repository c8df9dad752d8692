/**
 * What every fault of a message starts from: an honest message of the same secret, in parts.
 *
 * A fault changes one part and leaves the others right, so that only the check for that part can refuse it.
 *
 * @module
 */

import {
  type ContentKey,
  encryptContent,
  keyTransport,
  type MessageParts,
  newContentKey,
  partsOf,
  type TransportParts,
  transportOf,
  writeMessage,
} from "../recipient-message.ts";
import { oaepEncrypt } from "./oaep.ts";

export class HonestMessage {
  readonly plaintext: Uint8Array;
  /** DER SubjectPublicKeyInfo of the recipient. */
  readonly publicKey: Uint8Array;
  readonly content: ContentKey = newContentKey();

  constructor(plaintext: Uint8Array, publicKey: Uint8Array) {
    this.plaintext = plaintext;
    this.publicKey = publicKey;
  }

  get ciphertext(): Uint8Array {
    return encryptContent(this.plaintext, this.content);
  }

  recipient(changed: Partial<TransportParts> = {}): Uint8Array {
    const encryptedKey = changed.encryptedKey ?? oaepEncrypt(this.content.key, this.publicKey);
    return keyTransport({ ...transportOf(this.publicKey), ...changed, encryptedKey });
  }

  parts(changed: Partial<MessageParts> = {}): MessageParts {
    const honest = partsOf(this.ciphertext, this.content.iv);
    return { ...honest, recipientInfos: changed.recipientInfos ?? [this.recipient()], ...changed };
  }

  with(changed: Partial<MessageParts>): Uint8Array {
    return writeMessage(this.parts(changed));
  }

  withRecipient(changed: Partial<TransportParts>): Uint8Array {
    return this.with({ recipientInfos: [this.recipient(changed)] });
  }
}

/** Writes the message as the fault would have it. */
export type MessageMutation = (message: HonestMessage) => Uint8Array;
export type MutationTable = Readonly<Record<`M${string}`, MessageMutation>>;
