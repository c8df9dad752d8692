/**
 * The mask generation function of RSAES-OAEP and RSASSA-PSS.
 *
 * Source: RFC 8017 §B.2.1.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { concat } from "../../../../shared/bytes.ts";

/** `length` bytes; `hash` as Node names it. */
export function mgf1(
  seed: Uint8Array,
  { hash, length }: { readonly hash: string; readonly length: number },
): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let made = 0, counter = 0; made < length; counter++) {
    const block = createHash(hash)
      .update(seed)
      .update(Uint8Array.of(0, 0, 0, counter))
      .digest();
    blocks.push(block);
    made += block.length;
  }
  return concat(...blocks).subarray(0, length);
}

/** Byte by byte; `b` is as long as `a`. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ (b[index] ?? 0));
}
