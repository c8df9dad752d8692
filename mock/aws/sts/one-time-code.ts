/**
 * The codes of a virtual MFA device: RFC 6238 with SHA-1, six digits, 30 seconds, from a seed in base32.
 *
 * @module
 */
import { createHmac } from "node:crypto";

export const STEP_MS = 30_000;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The six digits for a step of 30 seconds since 1970. */
export function oneTimeCode(seed: string, counter: number): string {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const digest = createHmac("sha1", decodeBase32(seed)).update(message).digest();
  const offset = (digest.at(-1) ?? 0) & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Of a byte or more: an empty seed's codes are known to everybody. */
function decodeBase32(seed: string): Uint8Array {
  if (!/^[A-Z2-7]{2,}=*$/i.test(seed)) throw new RangeError("the seed of an MFA device is base32, and not empty");
  const digits = [...seed.replace(/=+$/, "").toUpperCase()].map((character) => ALPHABET.indexOf(character));
  const bits = digits.map((value) => value.toString(2).padStart(5, "0")).join("");
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}
