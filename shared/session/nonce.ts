/**
 * The client's challenge as it stands in a URL: base64url without padding, 16 to 64 bytes, one spelling for each value.
 *
 * @module
 */

export const NONCE_MIN = 16;
export const NONCE_MAX = 64;
/** How many bytes this toolkit's own clients send. */
export const NONCE_BYTES = 32;

export function toBase64Url(bytes: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The challenge, or `undefined` for a text that is none. */
export function readNonce(text: string): Uint8Array | undefined {
  if (text.length > 86 || !/^[A-Za-z0-9_-]+$/.test(text) || text.length % 4 === 1) return undefined;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  // The last character may carry bits that decode to nothing.
  if (toBase64Url(bytes) !== text || bytes.length < NONCE_MIN || bytes.length > NONCE_MAX) return undefined;
  return bytes;
}

/** The one parameter that a challenge travels in; `undefined` where there is none, or more. */
export function nonceOf(url: URL): Uint8Array | undefined {
  const [entry, ...others] = url.searchParams;
  return entry?.[0] === "nonce" && others.length === 0 ? readNonce(entry[1]) : undefined;
}
