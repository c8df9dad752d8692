/**
 * The shape of a sealed message, read strictly: version 2, few encrypted data keys, frames or one block, nothing else.
 *
 *   header   2 · suite (2) · message id (32) · context (2 + n) · count (2) · encrypted data keys · 2 · frame length (4)
 *            · commitment (32) · tag (16)
 *   frame    sequence (4) · IV (12) · ciphertext (frame length) · tag (16)
 *   last     ffffffff · sequence (4) · IV (12) · length (4) · ciphertext (0 to frame length) · tag (16)
 *   block    IV (12) · length (8) · ciphertext · tag (16), in the place of all frames; read, never written
 *   footer   length (2) · DER signature, of suite 0x0578 only
 *
 * Bytes only: nothing here knows a key. The Encryption SDK reads more (version 1, any bytes behind the end of an
 * unsigned message); whoever seals with key commitment writes this.
 *
 * Source: AWS Encryption SDK specification, data-format/message-header.md, message-body.md, message-footer.md.
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";
import { type EncryptionContext, serializeContext, uint16 } from "./context.ts";

export const SIGNED_SUITE = 0x0578;
export const UNSIGNED_SUITE = 0x0478;
export const ID_BYTES = 32;
export const IV_BYTES = 12;
export const TAG_BYTES = 16;
const COMMITMENT_BYTES = 32;
const FRAMED = 2;
const BLOCK = 1;
const LAST = 0xffff_ffff;
/** A frame's sequence number is 4 bytes, and the highest marks the last frame. */
export const MAX_SEQUENCE: number = LAST - 1;
/** DER of two integers of 49 bytes at most. */
const MAX_SIGNATURE_BYTES = 104;
/** Bytes that are not a message of this shape, or do not authenticate. Never leaves this folder. */
export class BrokenMessage extends Error {
  override readonly name = "BrokenMessage";
}

export interface WrappedDataKey {
  readonly providerId: string;
  readonly providerInfo: string;
  readonly rawInfo: Uint8Array;
  readonly encryptedDataKey: Uint8Array;
}

export interface MessageHeader {
  readonly suite: number;
  readonly messageId: Uint8Array;
  readonly context: EncryptionContext;
  readonly dataKeys: readonly WrappedDataKey[];
  /** 0: one block. */
  readonly frameBytes: number;
  readonly commitment: Uint8Array;
  /** What the header's tag is over, as it came. */
  readonly body: Uint8Array;
  readonly tag: Uint8Array;
}

/** Gives so many bytes. @throws {BrokenMessage} where they end before */
export type Take = (length: number) => Promise<Uint8Array>;

/** @throws {BrokenMessage} */
export async function readHeader(
  take: Take,
  { maxDataKeys }: { readonly maxDataKeys: number },
): Promise<MessageHeader> {
  const parts: Uint8Array[] = [];
  const next = async (length: number): Promise<Uint8Array> => {
    const part = await take(length);
    parts.push(part);
    return part;
  };
  const field = async (): Promise<Uint8Array> => next(readUint(await next(2)));
  const version = readUint(await next(1));
  if (version !== 2) throw new BrokenMessage(`message format version 2 is read, not ${version}`);
  const suite = readUint(await next(2));
  const messageId = await next(ID_BYTES);
  const context = parseContext(await field());
  const count = readUint(await next(2));
  if (count === 0 || count > maxDataKeys) throw new BrokenMessage(`1 to ${maxDataKeys} data keys, not ${count}`);
  const dataKeys: WrappedDataKey[] = [];
  while (dataKeys.length < count) {
    const [providerId, rawInfo, encryptedDataKey] = [await field(), await field(), await field()];
    // Of a key that is not KMS's, the information is bytes.
    const providerInfo = new TextDecoder("utf-8", { ignoreBOM: true }).decode(rawInfo);
    dataKeys.push({ providerId: text(providerId), providerInfo, rawInfo, encryptedDataKey });
  }
  const contentType = readUint(await next(1));
  const frameBytes = readUint(await next(4));
  if (contentType !== (frameBytes === 0 ? BLOCK : FRAMED))
    throw new BrokenMessage(`content type ${contentType} with frames of ${frameBytes} bytes`);
  const commitment = await next(COMMITMENT_BYTES);
  const body = concat(...parts);
  return { suite, messageId, context, dataKeys, frameBytes, commitment, body, tag: await take(TAG_BYTES) };
}

function parseContext(bytes: Uint8Array): EncryptionContext {
  const context = Object.create(null) as Record<string, string>;
  if (bytes.length === 0) return context;
  let offset = 0;
  const next = (length: number): Uint8Array => {
    if (offset + length > bytes.length) throw new BrokenMessage("the encryption context ends within a pair");
    offset += length;
    return bytes.subarray(offset - length, offset);
  };
  const count = readUint(next(2));
  if (count === 0) throw new BrokenMessage("an encryption context of no pairs is no bytes");
  for (let pair = 0; pair < count; pair++) {
    const name = text(next(readUint(next(2))));
    const value = text(next(readUint(next(2))));
    if (name in context) throw new BrokenMessage("the encryption context has a name twice");
    context[name] = value;
  }
  if (offset !== bytes.length) throw new BrokenMessage("bytes behind the encryption context");
  return Object.freeze(context);
}

/** @throws {RangeError} a field that is longer than the format holds */
export function writeHeaderBody(header: Omit<MessageHeader, "body" | "tag">): Uint8Array {
  const { suite, messageId, context, dataKeys, frameBytes, commitment } = header;
  const pairs = serializeContext(context);
  const field = (bytes: Uint8Array): Uint8Array => concat(uint16(bytes.length), bytes);
  return concat(
    ...[Uint8Array.of(2), uint16(suite), messageId, field(pairs)],
    uint16(dataKeys.length),
    ...dataKeys.flatMap((key) => [field(utf8(key.providerId)), field(key.rawInfo), field(key.encryptedDataKey)]),
    ...[Uint8Array.of(FRAMED), uint32(frameBytes), commitment],
  );
}

export interface FrameHeader {
  readonly kind: "frame" | "last" | "block";
  readonly sequence: number;
  readonly iv: Uint8Array;
  readonly length: number;
  /** As it came: a signature is over it. */
  readonly bytes: Uint8Array;
}

export interface FrameLimits {
  /** As the header says; 0: one block. */
  readonly frameBytes: number;
  /** What is taken of a block at most. */
  readonly maxFrameBytes: number;
  /** The sequence number that is due. */
  readonly due: number;
}

/** @throws {BrokenMessage} another sequence number than is due, or a length beyond what may be */
export async function readFrameHeader(
  take: Take,
  { frameBytes, maxFrameBytes, due }: FrameLimits,
): Promise<FrameHeader> {
  if (frameBytes === 0) {
    const bytes = await take(IV_BYTES + 8);
    const length = readUint(bytes.subarray(IV_BYTES));
    if (length > maxFrameBytes) throw new BrokenMessage("a block of more bytes than are held");
    return { kind: "block", sequence: due, iv: bytes.subarray(0, IV_BYTES), length, bytes };
  }
  const first = await take(4);
  const kind = readUint(first) === LAST ? "last" : "frame";
  const bytes = concat(first, await take(kind === "last" ? 4 + IV_BYTES + 4 : IV_BYTES));
  const sequence = readUint(kind === "last" ? bytes.subarray(4, 8) : first);
  if (sequence !== due) throw new BrokenMessage(`frame ${due} is due, not ${sequence}`);
  const start = kind === "last" ? 8 : 4;
  const length = kind === "last" ? readUint(bytes.subarray(start + IV_BYTES)) : frameBytes;
  if (length > frameBytes) throw new BrokenMessage("the last frame is longer than a frame");
  return { kind, sequence, iv: bytes.subarray(start, start + IV_BYTES), length, bytes };
}

export function writeFrameHeader(header: Omit<FrameHeader, "bytes"> & { readonly kind: "frame" | "last" }): Uint8Array {
  const { kind, sequence, iv, length } = header;
  if (kind === "frame") return concat(uint32(sequence), iv);
  return concat(uint32(LAST), uint32(sequence), iv, uint32(length));
}

const KIND_TEXTS = {
  frame: utf8("AWSKMSEncryptionClient Frame"),
  last: utf8("AWSKMSEncryptionClient Final Frame"),
  block: utf8("AWSKMSEncryptionClient Single Block"),
} as const;

/** What a frame's tag is over, beside its ciphertext. */
export function frameAad(
  messageId: Uint8Array,
  { kind, sequence, length }: Omit<FrameHeader, "bytes" | "iv">,
): Uint8Array {
  return concat(messageId, KIND_TEXTS[kind], uint32(sequence), uint32(0), uint32(length));
}

/** The DER signature. @throws {BrokenMessage} */
export async function readFooter(take: Take): Promise<Uint8Array> {
  const length = readUint(await take(2));
  if (length === 0 || length > MAX_SIGNATURE_BYTES) throw new BrokenMessage(`a signature of ${length} bytes`);
  return take(length);
}

/** IVs count the frames; the header's is zero. */
export function ivOf(sequence: number): Uint8Array {
  return concat(new Uint8Array(IV_BYTES - 4), uint32(sequence));
}

function readUint(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

function uint32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new BrokenMessage("not UTF-8", { cause });
  }
}
