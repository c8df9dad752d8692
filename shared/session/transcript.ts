/**
 * Turns what a document vouches for into the digest that stands in its `user_data`.
 *
 *   SHA-384( domain ‖ part ‖ part … ), each behind its length, so that no byte can move from one to the next
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";

/** @param domain names use and version, e.g. `cloister/tls/v1`: two uses never have one transcript */
export async function transcriptDigest(domain: string, parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const framed = concat(...[utf8(domain), ...parts].flatMap((part) => [lengthOf(part), part]));
  return new Uint8Array(await crypto.subtle.digest("SHA-384", Uint8Array.from(framed)));
}

function lengthOf(part: Uint8Array): Uint8Array {
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, part.length);
  return new Uint8Array(length.buffer);
}
