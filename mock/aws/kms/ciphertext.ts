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
  const random = drawPublicBytes(NONCE_BYTES + IV_BYTES);
  const [nonce, iv] = [random.subarray(0, NONCE_BYTES), random.subarray(NONCE_BYTES)];
  const sealedBytes = INNER.length + plaintext.length + TAG_BYTES;
  const { blob, sealed } = frame({ identifier, nonce, iv }, sealedBytes);
  const cipher = createCipheriv("aes-256-gcm", deriveKey(material, nonce), iv).setAAD(serializeContext(context));
  sealed.set(cipher.update(INNER));
  sealed.set(cipher.update(plaintext), INNER.length);
  cipher.final();
  sealed.set(cipher.getAuthTag(), sealedBytes - TAG_BYTES);
  return blob;
}

/** The plaintext; nothing if the blob, the context or the material is another one. */
export function decryptBlob(
  { material, identifier }: MaterialReference,
  blob: Uint8Array,
  context: EncryptionContext,
): Uint8Array | undefined {
  const nonce = blob.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES);
  // Written again from its variable parts and compared: no reader, and no byte that is not accounted for.
  const sealedBytes = sealedBytesOf(blob.length - MESSAGE_AT);
  if (sealedBytes === undefined) return undefined;
  const sealedAt = blob.length - sealedBytes;
  const { ivAt } = messageHead(sealedBytes);
  const iv = blob.subarray(MESSAGE_AT + ivAt, MESSAGE_AT + ivAt + IV_BYTES);
  const head = frame({ identifier, nonce, iv }, sealedBytes).blob.subarray(0, sealedAt);
  if (!equalBytes(head, blob.subarray(0, sealedAt))) return undefined;
  return openSealed(deriveKey(material, nonce), iv, blob.subarray(sealedAt), context);
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
    if (bytes >= INNER.length + TAG_BYTES && messageHead(bytes).head.length + bytes === messageBytes) return bytes;
  }
  return undefined;
}

const POOL_BYTES = 4_096;
let pool: Uint8Array = new Uint8Array(0);

/** Random bytes that everybody may see: many at once, since a draw costs more than its bytes. Each is handed out once. */
function drawPublicBytes(count: number): Uint8Array {
  if (pool.length < count) pool = Uint8Array.from(randomBytes(POOL_BYTES));
  const drawn = pool.slice(0, count);
  pool = pool.subarray(count);
  return drawn;
}

interface Variable {
  readonly identifier: Uint8Array;
  readonly nonce: Uint8Array;
  readonly iv: Uint8Array;
}

/** A blob, and the place of the sealed content in it, which is still zero. */
function frame(
  { identifier, nonce, iv }: Variable,
  sealedBytes: number,
): { readonly blob: Uint8Array; readonly sealed: Uint8Array } {
  const { head, ivAt } = messageHead(sealedBytes);
  const blob = new Uint8Array(MESSAGE_AT + head.length + sealedBytes);
  blob.set(HEADER);
  blob.set(identifier, HEADER.length);
  blob[NONCE_AT - 1] = 1;
  blob.set(nonce, NONCE_AT);
  new DataView(blob.buffer).setUint32(MESSAGE_AT - 4, head.length + sealedBytes);
  blob.set(head, MESSAGE_AT);
  blob.set(iv, MESSAGE_AT + ivAt);
  return { blob, sealed: blob.subarray(MESSAGE_AT + head.length) };
}

interface MessageHead {
  /** Of the CMS message all but the sealed content; a zero nonce stands in it. */
  readonly head: Uint8Array;
  readonly ivAt: number;
}
const heads = new Map<number, MessageHead>();

/** By the size of the sealed content, of which KMS's limits leave some four thousand. */
function messageHead(sealedBytes: number): MessageHead {
  const known = heads.get(sealedBytes);
  if (known) return known;
  const sealed = element(contextPrimitive(0), new Uint8Array(sealedBytes));
  const message = encryptedData(new Uint8Array(IV_BYTES), sealed);
  const head = message.slice(0, message.length - sealedBytes);
  const ivAt = message.length - sealed.length - TAG_LENGTH.length - IV_BYTES;
  heads.set(sealedBytes, { head, ivAt });
  return { head, ivAt };
}

const DATA = objectIdentifier("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA = objectIdentifier("1.2.840.113549.1.7.6");
const AES_256_GCM = objectIdentifier("2.16.840.1.101.3.4.1.46");
const VERSION = smallInteger(0);
const TAG_LENGTH = smallInteger(TAG_BYTES);
const EMPTY_MESSAGE_BYTES = encryptedData(
  new Uint8Array(IV_BYTES),
  element(contextPrimitive(0), new Uint8Array(0)),
).length;

function gcmAlgorithm(iv: Uint8Array): Uint8Array {
  return element(TAG.sequence, AES_256_GCM, element(TAG.sequence, element(TAG.octetString, iv), TAG_LENGTH));
}

/** `sealed`: with its head. */
function encryptedData(iv: Uint8Array, sealed: Uint8Array): Uint8Array {
  const content = element(TAG.sequence, DATA, gcmAlgorithm(iv), sealed);
  const data = element(TAG.sequence, VERSION, content);
  return element(TAG.sequence, ENCRYPTED_DATA, element(contextConstructed(0), data));
}

const COUNTER_AND_LABEL = concat(Uint8Array.of(0, 0, 0, 1), utf8("cloister mock kms"), Uint8Array.of(0));
const KEY_BITS = Uint8Array.of(0, 0, 1, 0);

/** Counter mode with one block: the nonce separates the keys of two ciphertexts. */
function deriveKey(material: Uint8Array, nonce: Uint8Array): Uint8Array {
  return createHmac("sha256", material).update(COUNTER_AND_LABEL).update(nonce).update(KEY_BITS).digest();
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
