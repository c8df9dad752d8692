/**
 * How NSM messages stand on a stream: each after its length, u32 big-endian.
 *
 * `/dev/nsm` itself needs no frame, a request is one ioctl. On a Unix socket the reader refuses a length above its cap
 * before a byte is allocated for it.
 *
 * @module
 */
import { concat } from "../bytes.ts";
import { TransportError } from "../errors/transport.ts";

const LENGTH_BYTES = 4;

export function nsmFrame(message: Uint8Array): Uint8Array {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, message.length);
  return concat(length, message);
}

/** Collects the chunks of a stream and gives the messages that are whole. Holds one message at most, plus a chunk. */
export class NsmFrameReader {
  readonly #maximum: number;
  #held: Uint8Array = new Uint8Array();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /**
   * @throws {TransportError} `ERR_TRANSPORT_FRAME_TOO_LARGE`, `ERR_TRANSPORT_FRAME_INVALID`
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    this.#held = concat(this.#held, chunk);
    const messages: Uint8Array[] = [];
    while (this.#held.length >= LENGTH_BYTES) {
      const length = new DataView(this.#held.buffer, this.#held.byteOffset).getUint32(0);
      if (length > this.#maximum) {
        throw new TransportError("ERR_TRANSPORT_FRAME_TOO_LARGE", { maximum: this.#maximum, announced: length });
      }
      if (length === 0)
        throw new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule: "a message has a byte at least" });
      if (this.#held.length < LENGTH_BYTES + length) break;
      messages.push(this.#held.slice(LENGTH_BYTES, LENGTH_BYTES + length));
      this.#held = this.#held.subarray(LENGTH_BYTES + length);
    }
    return messages;
  }
}
