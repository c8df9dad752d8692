/**
 * A stream of bytes that has no period of a power of two: a byte lost, doubled or moved changes its digest.
 *
 * @module
 */
import { createHash } from "node:crypto";

const PERIOD = 65_537 * 8;
const PATTERN = Buffer.alloc(2 * PERIOD);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = ((i % PERIOD) * 2_654_435_761) >>> 13;

/** `size` is at most 512 KiB. */
export function patternAt(offset: number, size: number): Buffer {
  const start = offset % PERIOD;
  return PATTERN.subarray(start, start + size);
}

/** Of the first `count` bytes, in hex. */
export function patternDigest(count: number): string {
  const hash = createHash("sha256");
  for (let at = 0; at < count; ) {
    const size = Math.min(65_536, count - at);
    hash.update(patternAt(at, size));
    at += size;
  }
  return hash.digest("hex");
}
