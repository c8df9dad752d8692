/**
 * Reads the body of a request or an answer whole, up to a number of bytes. Whoever sends more is refused when it comes, not when
 * all of it has.
 *
 * @module
 */

/** Memory follows what has come: many small pieces cost no more than one. */
const FIRST_BYTES = 16_384;

/** The bytes, or `undefined` where there are more than `maximum`. */
export async function readBounded(
  { body }: Pick<Request | Response, "body">,
  maximum: number,
): Promise<Uint8Array | undefined> {
  if (body === null) return new Uint8Array();
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  let bytes = new Uint8Array(Math.min(FIRST_BYTES, maximum));
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes.subarray(0, size);
    const needed = size + value.length;
    if (needed > maximum) {
      // Not waited for: the other side would say how long.
      reader.cancel().catch(() => {});
      return undefined;
    }
    if (needed > bytes.length) {
      const larger = new Uint8Array(Math.min(maximum, Math.max(needed, 2 * bytes.length)));
      larger.set(bytes.subarray(0, size));
      bytes = larger;
    }
    bytes.set(value, size);
    size = needed;
  }
}
