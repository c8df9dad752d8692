/**
 * Makes credentials of the form that AWS hands out, from random bytes, and reads the account out of an access key id.
 *
 * The ten bytes behind the prefix of an id hold the account in bits 1 to 40 of the first six: AWS's own scheme, which
 * it does not document and `GetAccessKeyInfo` answers from.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";

export interface NewCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ACCOUNT_SHIFT = 7n;
const ACCOUNT_BITS = 0x7fffffffff80n;

/** Short-lived credentials as a role's session has them: `ASIA…`, a 40-character secret, a session token. */
export function newCredentials(accountId?: string): NewCredentials {
  return {
    accessKeyId: `ASIA${encodeBase32(accountId === undefined ? randomBytes(10) : keyBytes(accountId))}`,
    secretAccessKey: randomBytes(30).toString("base64"),
    sessionToken: `IQoJb3JpZ2luX2Vj${randomBytes(252).toString("base64")}`,
  };
}

/** The account that an access key id says it is of; nothing for another form. */
export function accountOf(accessKeyId: string): string | undefined {
  const [, text] = /^A[A-Z]{3}([A-Z2-7]{16})$/.exec(accessKeyId) ?? [];
  if (text === undefined) return undefined;
  const bits = [...text].reduce((sum, character) => (sum << 5n) | BigInt(BASE32.indexOf(character)), 0n);
  return String(((bits >> 32n) & ACCOUNT_BITS) >> ACCOUNT_SHIFT).padStart(12, "0");
}

/** AWS's unique id of a user (`AIDA`) or role (`AROA`); the same for the same ARN. */
export function uniqueId(prefix: "AIDA" | "AROA", arn: string): string {
  return `${prefix}${encodeBase32(createHash("sha256").update(arn).digest().subarray(0, 11)).slice(0, 17)}`;
}

function keyBytes(accountId: string): Uint8Array {
  const bytes = randomBytes(10);
  const head =
    (BigInt(`0x${bytes.subarray(0, 6).toString("hex")}`) & ~ACCOUNT_BITS) | (BigInt(accountId) << ACCOUNT_SHIFT);
  bytes.write(head.toString(16).padStart(12, "0"), "hex");
  return bytes;
}

function encodeBase32(bytes: Uint8Array): string {
  let bits = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  const length = Math.floor((bytes.length * 8) / 5);
  bits >>= BigInt(bytes.length * 8 - length * 5);
  let text = "";
  for (let i = 0; i < length; i++, bits >>= 5n) text = BASE32.charAt(Number(bits & 31n)) + text;
  return text;
}
