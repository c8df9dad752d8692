/**
 * Seals the batches of one journal, each bound to its place: none can be changed, moved, left out or put in twice.
 *
 *   frame    head · nonce · ciphertext · tag
 *   head     length of the plaintext, 32 bits · the first 8 bytes of HMAC(chain, place, length)
 *   sealed   AES-256-GCM, random 12-byte nonce, over chain, place and head
 *   chain    the tag of the frame before; of the first, what the journal's header ends with
 *
 * The last frame may have been cut off by a crash, and then was never acknowledged: the file ends within it, or with
 * bytes that the file system promised and never wrote. Only that is `torn`; whatever else does not verify is refused.
 * A journal whose end was cut off on purpose is an older state of it: nothing inside a file can tell.
 *
 * Source: NIST SP 800-38D §8.2.2, §8.3 (random nonces: below 2^32 frames for a key, and each journal has its own).
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { concat, equalBytes, isAllZero, utf8 } from "../../../shared/bytes.ts";
import { StateError } from "../../../shared/errors/state.ts";

const CHECK_BYTES = 8;
const HEAD_BYTES = 4 + CHECK_BYTES;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const LENGTH_MAX = 2 ** 31;

/** What a frame holds, and where the next one begins. */
export interface OpenedFrame {
  readonly batch: Uint8Array;
  readonly end: number;
}

/** Walks along the frames of a journal, first those that are there, then those that are added. */
export class FrameChain {
  readonly #sealKey: Uint8Array;
  readonly #headKey: Uint8Array;
  #previous: Uint8Array;
  #place = 0;

  /** @param key of this journal and no other */
  constructor(key: Uint8Array, start: Uint8Array) {
    this.#sealKey = deriveKey(key, "cloister state frame");
    this.#headKey = deriveKey(key, "cloister state frame head");
    this.#previous = start;
  }

  seal(batch: Uint8Array): Uint8Array {
    if (batch.length > LENGTH_MAX) throw new RangeError(`a batch has at most ${LENGTH_MAX} bytes, got ${batch.length}`);
    const head = this.#head(batch.length);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#sealKey, nonce).setAAD(this.#bound(head));
    const sealed = [cipher.update(batch), cipher.final()];
    const tag = cipher.getAuthTag();
    this.#advance(tag);
    return concat(head, nonce, ...sealed, tag);
  }

  /**
   * The frame that begins at an offset of the journal's file.
   *
   * @throws {StateError} `ERR_STATE_MALFORMED`
   */
  open(file: Uint8Array, offset: number): OpenedFrame | "torn" {
    const rest = file.subarray(offset);
    const isUnwritten = isAllZero(rest.subarray(-TAG_BYTES));
    if (rest.length < HEAD_BYTES) return "torn";
    const head = rest.subarray(0, HEAD_BYTES);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
    if (!equalBytes(head, this.#head(length))) {
      if (isUnwritten) return "torn";
      throw malformed(offset, "a frame begins with its own length");
    }
    const size = HEAD_BYTES + NONCE_BYTES + length + TAG_BYTES;
    if (rest.length < size) return "torn";
    const frame = rest.subarray(0, size);
    const batch = this.#unseal(frame, head);
    if (!batch) {
      if (rest.length === size && isUnwritten) return "torn";
      throw malformed(offset, "a frame is as it was sealed, and in its place");
    }
    this.#advance(frame.slice(-TAG_BYTES));
    return { batch, end: offset + size };
  }

  #unseal(frame: Uint8Array, head: Uint8Array): Uint8Array | undefined {
    const nonce = frame.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
    const sealed = frame.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", this.#sealKey, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(this.#bound(head)).setAuthTag(frame.subarray(-TAG_BYTES));
    const opened = decipher.update(sealed);
    try {
      decipher.final();
    } catch {
      return undefined; // the tag does not match: the caller says where
    }
    return opened;
  }

  #head(length: number): Uint8Array {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, length);
    const check = createHmac("sha256", this.#headKey).update(this.#bound(bytes)).digest();
    return concat(bytes, check.subarray(0, CHECK_BYTES));
  }

  #bound(bytes: Uint8Array): Uint8Array {
    const place = new Uint8Array(8);
    new DataView(place.buffer).setBigUint64(0, BigInt(this.#place));
    return concat(place, this.#previous, bytes);
  }

  #advance(tag: Uint8Array): void {
    this.#previous = tag;
    this.#place += 1;
  }
}

/** A key for one purpose. Purposes differ, so do the keys. */
export function deriveKey(key: Uint8Array, purpose: string, context: Uint8Array = new Uint8Array(0)): Uint8Array {
  return createHmac("sha256", key)
    .update(concat(utf8(purpose), Uint8Array.of(0), context))
    .digest();
}

function malformed(offset: number, rule: string): StateError {
  return new StateError("ERR_STATE_MALFORMED", { part: `byte ${offset}`, rule });
}
