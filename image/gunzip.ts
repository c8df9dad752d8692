/**
 * Unpacks gzip up to a limit, without holding the result twice.
 *
 * The last four bytes of a gzip member say how long its content is: a hint for the buffer, and no more than that. It is
 * believed up to what so many bytes can become at most; several members after each other, or a lie, only make it grow.
 *
 * Source: RFC 1952 §2.3.1; deflate gives at most 1 032 bytes for one.
 *
 * @module
 */
import { once } from "node:events";
import { finished } from "node:stream/promises";
import { createGunzip } from "node:zlib";

const RATIO_MAX = 1_032;
const PIECE_BYTES = 1024 * 1024;

/**
 * @throws {RangeError} more than the limit
 * @throws zlib's errors: not gzip, cut short, damaged
 */
export async function gunzipBounded(packed: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  let whole = new Uint8Array(Math.min(sizeHint(packed), packed.length * RATIO_MAX, maxBytes));
  let filled = 0;
  const stream = createGunzip({ chunkSize: PIECE_BYTES });
  const done = finished(stream);
  // Awaited below; until then a failure waits for nobody.
  done.catch(() => undefined);
  stream.on("data", (piece: Uint8Array) => {
    const size = filled + piece.length;
    if (size > maxBytes) {
      stream.destroy(new RangeError(`unpacks to more than ${maxBytes} bytes`));
      return;
    }
    if (size > whole.length) whole = grown(whole, Math.min(maxBytes, Math.max(size, 2 * whole.length)));
    whole.set(piece, filled);
    filled = size;
  });
  for (let offset = 0; offset < packed.length && !stream.destroyed; offset += PIECE_BYTES) {
    if (!stream.write(packed.subarray(offset, offset + PIECE_BYTES))) {
      await Promise.race([once(stream, "drain"), done]);
    }
  }
  stream.end();
  await done;
  return whole.subarray(0, filled);
}

function sizeHint(packed: Uint8Array): number {
  if (packed.length < 4) return 0;
  return new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getUint32(packed.length - 4, true);
}

function grown(bytes: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const more = new Uint8Array(size);
  more.set(bytes);
  return more;
}
