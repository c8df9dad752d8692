/**
 * The frame of every conversation between parent and enclave that is not a byte tunnel.
 *
 *   u32 length of the rest, big-endian │ u8 type │ u32 id, big-endian │ payload: JSON in UTF-8
 *
 * Types: 1 request, 2 response, 3 error, 4 event. The length is checked before anything is allocated for it, and the
 * decoder's memory follows the bytes that came, not the bytes that were announced. Any split of the stream decodes to
 * the same frames.
 *
 * @module
 */
import { utf8 } from "../bytes.ts";
import { TransportError } from "../errors/transport.ts";
import { type Json, parseJson } from "./json.ts";

/** Largest length field by default, in bytes: 1 MiB. */
export const FRAME_MAX = 1_048_576;
/** What no setting goes beyond, in bytes: 16 MiB. */
export const FRAME_HARD_MAX = 16_777_216;

const LENGTH_BYTES = 4;
/** Type and id. */
const HEADER_BYTES = 5;
const FIRST_ALLOCATION = 4_096;

const TYPES = ["request", "response", "error", "event"] as const;
export type FrameType = (typeof TYPES)[number];

export interface Frame {
  readonly type: FrameType;
  /** Of the request; 0 for an event. */
  readonly id: number;
  readonly body: Json;
}

function checkMaximum(maxBytes: number): void {
  if (!Number.isInteger(maxBytes) || maxBytes <= HEADER_BYTES || maxBytes > FRAME_HARD_MAX) {
    throw new RangeError(`a frame's limit is ${HEADER_BYTES + 1} to ${FRAME_HARD_MAX} bytes, not ${maxBytes}`);
  }
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_FRAME_TOO_LARGE`
 */
export function encodeFrame(frame: Frame, maxBytes: number = FRAME_MAX): Uint8Array {
  checkMaximum(maxBytes);
  if (!Number.isInteger(frame.id) || frame.id < 0 || frame.id > 0xffff_ffff) {
    throw new RangeError(`a frame's id is an integer of 32 bits, not ${frame.id}`);
  }
  const text = JSON.stringify(frame.body) as string | undefined;
  if (text === undefined) throw new TypeError(`a frame's body is JSON, not ${typeof frame.body}`);
  const payload = utf8(text);
  const length = HEADER_BYTES + payload.length;
  if (length > maxBytes) {
    throw new TransportError("ERR_TRANSPORT_FRAME_TOO_LARGE", { maximum: maxBytes, announced: length });
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint8(4, TYPES.indexOf(frame.type) + 1);
  view.setUint32(5, frame.id);
  bytes.set(payload, LENGTH_BYTES + HEADER_BYTES);
  return bytes;
}

function decodeRest(rest: Uint8Array): Frame {
  const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
  const type = TYPES[view.getUint8(0) - 1];
  if (type === undefined) throw new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule: "the type is 1 to 4" });
  return { type, id: view.getUint32(1), body: parseJson(rest.subarray(HEADER_BYTES)) };
}

/** Turns a byte stream into frames. After an error it must not be used further: the stream has lost its rhythm. */
export class FrameDecoder {
  readonly #onFrame: (frame: Frame) => void;
  readonly #maxBytes: number;
  #buffer: Uint8Array = new Uint8Array(FIRST_ALLOCATION);
  #filled = 0;
  /** Of the frame under way; undefined while its length field is read. */
  #length: number | undefined;

  constructor(onFrame: (frame: Frame) => void, maxBytes: number = FRAME_MAX) {
    checkMaximum(maxBytes);
    this.#onFrame = onFrame;
    this.#maxBytes = maxBytes;
  }

  /** How many bytes are missing to the end of the frame under way, as far as is known; 0 between frames. */
  get missing(): number {
    if (this.#length !== undefined) return this.#length - this.#filled;
    return this.#filled === 0 ? 0 : LENGTH_BYTES - this.#filled;
  }

  /**
   * @throws {TransportError} `ERR_TRANSPORT_FRAME_TOO_LARGE`, `ERR_TRANSPORT_FRAME_INVALID`
   */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.length) {
      const wanted = (this.#length ?? LENGTH_BYTES) - this.#filled;
      const part = chunk.subarray(offset, offset + wanted);
      this.#append(part);
      offset += part.length;
      if (part.length === wanted) this.#complete();
    }
  }

  /**
   * Says that the stream ended.
   *
   * @throws {TransportError} `ERR_TRANSPORT_FRAME_TRUNCATED` inside a frame
   */
  end(): void {
    if (this.missing > 0) throw new TransportError("ERR_TRANSPORT_FRAME_TRUNCATED", { missing: this.missing });
  }

  #append(part: Uint8Array): void {
    const needed = this.#filled + part.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(this.#length ?? needed, Math.max(needed, 2 * this.#buffer.length)));
      grown.set(this.#buffer.subarray(0, this.#filled));
      this.#buffer = grown;
    }
    this.#buffer.set(part, this.#filled);
    this.#filled = needed;
  }

  #complete(): void {
    const bytes = this.#buffer.subarray(0, this.#filled);
    this.#filled = 0;
    if (this.#length === undefined) {
      this.#length = this.#checkedLength(new DataView(bytes.buffer).getUint32(0));
      return;
    }
    this.#length = undefined;
    if (this.#buffer.length > FIRST_ALLOCATION) this.#buffer = new Uint8Array(FIRST_ALLOCATION);
    this.#onFrame(decodeRest(bytes));
  }

  #checkedLength(length: number): number {
    if (length > this.#maxBytes) {
      throw new TransportError("ERR_TRANSPORT_FRAME_TOO_LARGE", { maximum: this.#maxBytes, announced: length });
    }
    if (length <= HEADER_BYTES) {
      throw new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule: "a frame has a type, an id and a payload" });
    }
    return length;
  }
}
