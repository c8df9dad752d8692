/**
 * Messages whose content is not AES-256-CBC of the secret in OCTET STRINGs.
 *
 *   M11 type of the content · M12 another cipher · M13 size of the IV · M14 size of the ciphertext · M15 padding
 *   M16 a bit of the IV · M17 no content · M18 the three forms that are right · M19 what is no OCTET STRING
 *
 * M16 can not be told from an honest message by whoever opens it: CBC has no integrity. M18 must be opened.
 *
 * Source: RFC 5652 §6.1, §6.3; RFC 3565 §4.1; RFC 5084 §3.2; RFC 3370 §5; X.690 §8.7, §8.14.
 *
 * @module
 */
import { createCipheriv } from "node:crypto";
import { concat } from "../../../../shared/bytes.ts";
import {
  contextConstructed,
  contextPrimitive,
  element,
  indefinite,
  objectIdentifier,
  smallInteger,
  TAG,
} from "../ber.ts";
import { algorithm, encryptContent, OID, writeMessage } from "../recipient-message.ts";
import type { HonestMessage, MessageMutation, MutationTable } from "./message.ts";

const CIPHERS = {
  aes128Cbc: "2.16.840.1.101.3.4.1.2",
  aes256Gcm: "2.16.840.1.101.3.4.1.46",
  tripleDesCbc: "1.2.840.113549.3.7",
  rc2Cbc: "1.2.840.113549.3.2",
  none: "0.0",
} as const;
const SIGNED_DATA = "1.2.840.113549.1.7.2";
const MIB = 1_048_576;

export const CONTENT_FAULTS: MutationTable = {
  M11: (message) => message.with({ dataType: objectIdentifier(SIGNED_DATA) }),
  // Only the name changes: an opener that does not read it opens the message.
  "M12-aes-128-cbc": (message) => message.with({ cipher: algorithm(CIPHERS.aes128Cbc, ivOf(message, 16)) }),
  "M12-aes-256-gcm": (message) =>
    message.with({
      cipher: algorithm(CIPHERS.aes256Gcm, element(TAG.sequence, ivOf(message, 12), smallInteger(16))),
    }),
  "M12-3des": (message) => message.with({ cipher: algorithm(CIPHERS.tripleDesCbc, ivOf(message, 8)) }),
  "M12-rc2": (message) =>
    message.with({
      // RFC 3370 §5.2: 58 stands for 128 bits.
      cipher: algorithm(CIPHERS.rc2Cbc, element(TAG.sequence, smallInteger(58), ivOf(message, 8))),
    }),
  "M12-no-cipher": (message) =>
    message.with({
      cipher: algorithm(CIPHERS.none, element(TAG.null)),
      encryptedContent: inChunks(padded(message.plaintext)),
    }),
  "M12-integer-parameter": (message) =>
    message.with({ cipher: algorithm(OID.aes256Cbc, element(TAG.integer, message.content.iv)) }),
  "M13-iv-0-bytes": withIv(0),
  "M13-iv-8-bytes": withIv(8),
  "M13-iv-15-bytes": withIv(15),
  "M13-iv-17-bytes": withIv(17),
  "M13-iv-32-bytes": withIv(32),
  "M14-0-bytes": withCiphertext(({ ciphertext }) => ciphertext.subarray(0, 0)),
  "M14-15-bytes": withCiphertext(({ ciphertext }) => ciphertext.subarray(0, 15)),
  "M14-17-bytes": withCiphertext(({ ciphertext }) => concat(ciphertext.subarray(0, 16), Uint8Array.of(0))),
  "M14-64-mib": withCiphertext(({ content }) => encryptContent(new Uint8Array(64 * MIB - 1), content)),
  "M14-10000-chunks": (message) => {
    const ciphertext = encryptContent(new Uint8Array(9_999), message.content);
    return message.with({ encryptedContent: inChunks(...Array.from(ciphertext, (byte) => Uint8Array.of(byte))) });
  },
  "M15-padding-0": withPadding((block) => block.fill(0, -1)),
  "M15-padding-17": withPadding((block) => block.fill(17, -17)),
  "M15-padding-mismatched": withPadding((block) => block.fill(5, -4).fill(4, -1)),
  M16: (message) => {
    const iv = message.content.iv.map((byte, index) => (index === 0 ? byte ^ 1 : byte));
    return message.with({ cipher: algorithm(OID.aes256Cbc, element(TAG.octetString, iv)) });
  },
  M17: (message) => {
    const { encryptedContent: _, ...parts } = message.parts();
    return writeMessage(parts);
  },
  "M18-primitive": (message) => message.with({ encryptedContent: element(contextPrimitive(0), message.ciphertext) }),
  "M18-one-chunk": (message) => message.with({}),
  "M18-three-chunks": (message) => {
    const { ciphertext } = message;
    return message.with({
      encryptedContent: inChunks(ciphertext.subarray(0, 5), ciphertext.subarray(5, 11), ciphertext.subarray(11)),
    });
  },
  // All of the ciphertext stands in front of what must not be there: who stops silently opens it.
  "M19-integer": holding(({ ciphertext }) => concat(element(TAG.octetString, ciphertext), smallInteger(1))),
  "M19-nested": holding(({ ciphertext }) => indefinite(0x24, element(TAG.octetString, ciphertext))),
  "M19-context-tag": holding(({ ciphertext }) => element(contextPrimitive(0), ciphertext)),
};

function ivOf({ content }: HonestMessage, length: number): Uint8Array {
  return element(TAG.octetString, content.iv.subarray(0, length));
}

/** The honest IV, cut off or with zeros behind it. */
function withIv(length: number): MessageMutation {
  return (message) => {
    const iv = Uint8Array.from({ length }, (_, index) => message.content.iv[index] ?? 0);
    return message.with({ cipher: algorithm(OID.aes256Cbc, element(TAG.octetString, iv)) });
  };
}

function holding(content: MessageMutation): MessageMutation {
  return (message) => message.with({ encryptedContent: indefinite(contextConstructed(0), content(message)) });
}

function withCiphertext(ciphertext: MessageMutation): MessageMutation {
  return (message) => message.with({ encryptedContent: inChunks(ciphertext(message)) });
}

function inChunks(...chunks: readonly Uint8Array[]): Uint8Array {
  return indefinite(contextConstructed(0), ...chunks.map((chunk) => element(TAG.octetString, chunk)));
}

/** PKCS#7, for blocks of 16 bytes. */
function padded(plaintext: Uint8Array): Uint8Array {
  const padding = 16 - (plaintext.length % 16);
  return concat(plaintext, new Uint8Array(padding).fill(padding));
}

/** Encrypts blocks as they are, two at least; `spoil` writes over the padding. */
function withPadding(spoil: (blocks: Uint8Array) => void): MessageMutation {
  return withCiphertext(({ plaintext, content: { key, iv } }) => {
    const blocks = padded(plaintext.length < 16 ? concat(plaintext, new Uint8Array(16)) : plaintext);
    spoil(blocks);
    const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(false);
    return Buffer.concat([cipher.update(blocks), cipher.final()]);
  });
}
