/**
 * Makes and opens KMS's own ciphertext: opaque to callers, of the form and the sizes that genuine ones have.
 *
 *   01 02 02 00 78 · 32 bytes that stand for key and material · 01 · 16-byte nonce · length, 32 bits ·
 *   CMS EncryptedData { AES-256-GCM, 12-byte nonce, 16-byte tag }
 *
 * The encryption key is derived from the material and the nonce; the encryption context is authenticated in sorted
 * order. KMS's content is 11 bytes longer than the plaintext, of unknown meaning: 11 zero bytes stand for them here.
 *
 * Source: decoded genuine samples (a 32-byte data key makes 184 bytes); RFC 5084 §3.2; NIST SP 800-108 §4.1.
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { concat, equalBytes, utf8 } from "../../../shared/bytes.ts";
import { contextConstructed, contextPrimitive, element, objectIdentifier, smallInteger, TAG } from "./ber.ts";

export type EncryptionContext = Readonly<Record<string, string>>;

const HEADER = Uint8Array.of(0x01, 0x02, 0x02, 0x00, 0x78);
/** What stands behind a custom key store's frame; KMS's own is not known. */
const STORED_HEADER = Uint8Array.of(0x01, 0x02, 0x02, 0x00, 0x7c);
const IDENTIFIER_BYTES = 32;
const NONCE_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const INNER = new Uint8Array(11);
const NONCE_AT = HEADER.length + IDENTIFIER_BYTES + 1;
const MESSAGE_AT = NONCE_AT + NONCE_BYTES + 4;

/** The 32 bytes that stand for key and material in a blob; nothing if it is no blob of this form. */
export function readMaterialIdentifier(blob: Uint8Array): Uint8Array | undefined {
  if (blob.length <= MESSAGE_AT) return undefined;
  const header = blob.subarray(0, HEADER.length);
  if (!equalBytes(header, HEADER) && !equalBytes(header, STORED_HEADER)) return undefined;
  return blob.slice(HEADER.length, HEADER.length + IDENTIFIER_BYTES);
}

export interface MaterialReference {
  /** 32 secret bytes. */
  readonly material: Uint8Array;
  /** 32 bytes that stand for it in a blob. */
  readonly identifier: Uint8Array;
}

/** The blob of a custom key store in KMS's frame: its own header, then what stands for the key. */
export function storedBlob(identifier: Uint8Array, blob: Uint8Array): Uint8Array {
  return concat(STORED_HEADER, identifier, blob);
}

/** What the store made; nothing if it is no blob of a store. */
export function readStoredBlob(blob: Uint8Array): Uint8Array | undefined {
  const start = STORED_HEADER.length + IDENTIFIER_BYTES;
  if (blob.length <= start || !equalBytes(blob.subarray(0, STORED_HEADER.length), STORED_HEADER)) return undefined;
  return blob.slice(start);
}

export function encryptBlob(
  { material, identifier }: MaterialReference,
  plaintext: Uint8Array,
  context: EncryptionContext,
): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", deriveKey(material, nonce), iv).setAAD(serializeContext(context));
  const sealed = Buffer.concat([cipher.update(INNER), cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  return frame(identifier, nonce, encryptedData(iv, sealed));
}

/** The plaintext; nothing if the blob, the context or the material is another one. */
export function decryptBlob(
  { material, identifier }: MaterialReference,
  blob: Uint8Array,
  context: EncryptionContext,
): Uint8Array | undefined {
  const nonce = blob.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES);
  const message = blob.subarray(MESSAGE_AT);
  // Written again from its variable parts and compared: no reader, and no byte that is not accounted for.
  const sealedBytes = sealedBytesOf(message.length);
  if (sealedBytes === undefined) return undefined;
  const sealed = message.subarray(message.length - sealedBytes);
  const ivEnd = message.length - sealedBytes - headBytes(sealedBytes) - 3;
  const iv = message.subarray(ivEnd - IV_BYTES, ivEnd);
  if (!equalBytes(frame(identifier, nonce, encryptedData(iv, sealed)), blob)) return undefined;
  return openSealed(deriveKey(material, nonce), iv, sealed, context);
}

function openSealed(
  key: Uint8Array,
  iv: Uint8Array,
  sealed: Uint8Array,
  context: EncryptionContext,
): Uint8Array | undefined {
  const decipher = createDecipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(serializeContext(context)).setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const opened = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined; // the tag does not match: the caller gets KMS's one answer for it
  }
  return Uint8Array.from(opened.subarray(INNER.length));
}

/** How long the sealed content is in a message of this size; nothing if no content makes such a message. */
function sealedBytesOf(messageBytes: number): number | undefined {
  // The five outer heads have two to four bytes each.
  for (let extra = 0; extra <= 10; extra++) {
    const bytes = messageBytes - EMPTY_MESSAGE_BYTES - extra;
    if (bytes >= INNER.length + TAG_BYTES && messageBytesOf(bytes) === messageBytes) return bytes;
  }
  return undefined;
}

/** The length of `encryptedData`, without making it: each head grows with what it holds. */
function messageBytesOf(sealedBytes: number): number {
  const content = CONTENT_HEAD_BYTES + headBytes(sealedBytes) + sealedBytes;
  const data = 3 + headBytes(content) + content;
  const explicit = headBytes(data) + data;
  const message = MESSAGE_HEAD_BYTES + headBytes(explicit) + explicit;
  return headBytes(message) + message;
}

/** Tag and length of a value. */
function headBytes(contentBytes: number): number {
  return contentBytes < 0x80 ? 2 : contentBytes < 0x100 ? 3 : contentBytes < 0x10000 ? 4 : 5;
}

function frame(identifier: Uint8Array, nonce: Uint8Array, message: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, message.length);
  return concat(HEADER, identifier, Uint8Array.of(1), nonce, length, message);
}

const DATA = objectIdentifier("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA = objectIdentifier("1.2.840.113549.1.7.6");
const AES_256_GCM = objectIdentifier("2.16.840.1.101.3.4.1.46");
const VERSION = smallInteger(0);
const TAG_LENGTH = smallInteger(TAG_BYTES);
const MESSAGE_HEAD_BYTES = ENCRYPTED_DATA.length;
/** Content type and algorithm, before the sealed content. */
const CONTENT_HEAD_BYTES = DATA.length + gcmAlgorithm(new Uint8Array(IV_BYTES)).length;
const EMPTY_MESSAGE_BYTES = encryptedData(new Uint8Array(IV_BYTES), new Uint8Array(0)).length;

function gcmAlgorithm(iv: Uint8Array): Uint8Array {
  return element(TAG.sequence, AES_256_GCM, element(TAG.sequence, element(TAG.octetString, iv), TAG_LENGTH));
}

function encryptedData(iv: Uint8Array, sealed: Uint8Array): Uint8Array {
  const content = element(TAG.sequence, DATA, gcmAlgorithm(iv), element(contextPrimitive(0), sealed));
  const data = element(TAG.sequence, VERSION, content);
  return element(TAG.sequence, ENCRYPTED_DATA, element(contextConstructed(0), data));
}

/** Counter mode with one block: the nonce separates the keys of two ciphertexts. */
function deriveKey(material: Uint8Array, nonce: Uint8Array): Uint8Array {
  const input = concat(Uint8Array.of(0, 0, 0, 1), utf8("cloister mock kms"), Uint8Array.of(0), nonce);
  return createHmac("sha256", material)
    .update(concat(input, Uint8Array.of(0, 0, 1, 0)))
    .digest();
}

/** Pairs sorted by the bytes of their names, each text with its length: the order they came in does not count. */
export function serializeContext(context: EncryptionContext): Uint8Array {
  const pairs = Object.entries(context).map(([name, value]) => [utf8(name), utf8(value)] as const);
  pairs.sort(([a], [b]) => Buffer.compare(a, b));
  return concat(...pairs.flat().flatMap((text) => [lengthOf(text), text]));
}

function lengthOf(text: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length);
  return length;
}
