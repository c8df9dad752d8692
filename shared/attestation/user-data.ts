/**
 * What this toolkit writes into the `user_data` of a document: what the document is for.
 *
 *   {"v":1,"purpose":"result","digest":"<96 hex digits>"}
 *   {"v":1,"purpose":"result","digest":"<96 hex digits>","imageVersion":7}
 *
 * A document that was made for one purpose is refused for every other, so that one enclave answer can not be passed off
 * as another. `imageVersion` is the image's own word: it means something only together with registers that pin who built
 * the image (PCR0 to PCR2, or PCR8), and lets a verifier refuse old builds of a signer it trusts.
 *
 * One meaning, one byte string: what does not encode back to the same bytes is refused.
 *
 * @module
 */
import { equalBytes, fromHex, toHex, utf8 } from "../bytes.ts";

export interface UserData {
  /** Lower-case words, e.g. `result`. */
  readonly purpose: string;
  /** SHA-384 of what the document vouches for, 48 bytes. */
  readonly digest: Uint8Array;
  /** A whole number that grows with each release. */
  readonly imageVersion?: number;
}

const PURPOSE = /^[a-z][a-z0-9-]{0,31}$/;
const DIGEST_BYTES = 48;
/** What `encodeUserData` writes: no white space, no escapes, one order of fields. */
const FORM =
  /^\{"v":1,"purpose":"[a-z][a-z0-9-]{0,31}","digest":"[0-9a-f]{96}"(,"imageVersion":(0|[1-9][0-9]{0,15}))?\}$/;

/** @throws {RangeError} a field of another form */
export function encodeUserData({ purpose, digest, imageVersion }: UserData): Uint8Array {
  if (!PURPOSE.test(purpose)) throw new RangeError(`a purpose is 1 to 32 lower-case letters, digits and hyphens`);
  if (digest.length !== DIGEST_BYTES) throw new RangeError(`a digest has ${DIGEST_BYTES} bytes, not ${digest.length}`);
  if (imageVersion !== undefined && (!Number.isSafeInteger(imageVersion) || imageVersion < 0)) {
    throw new RangeError(`an image version is a whole number, not ${imageVersion}`);
  }
  const version = imageVersion === undefined ? {} : { imageVersion };
  return utf8(JSON.stringify({ v: 1, purpose, digest: toHex(digest), ...version }));
}

/** The fields, or `undefined` for bytes that `encodeUserData` does not write. */
export function readUserData(bytes: Uint8Array): UserData | undefined {
  const text = new TextDecoder().decode(bytes);
  if (!FORM.test(text)) return undefined;
  const { purpose, digest, imageVersion } = JSON.parse(text) as Omit<UserData, "digest"> & { readonly digest: string };
  if (imageVersion !== undefined && !Number.isSafeInteger(imageVersion)) return undefined;
  const fields = { purpose, digest: fromHex(digest), ...(imageVersion !== undefined && { imageVersion }) };
  return equalBytes(encodeUserData(fields), bytes) ? fields : undefined;
}
