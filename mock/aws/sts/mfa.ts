/**
 * Decides whether a code is one of a virtual MFA device at this time: RFC 6238 with SHA-1, six digits, 30 seconds.
 *
 * The step before and the one after count too. A code is not kept: it can be used again while it lasts.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { PrincipalRow } from "../directory-rows.ts";
import { accessDenied } from "./request.ts";

export interface MfaInput {
  readonly SerialNumber?: string;
  readonly TokenCode?: string;
}

const STEP_MS = 30_000;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Whether a device vouches for the call; no if none is named. @throws {AwsFault} `AccessDenied`: it does not */
export function checkMfa({ SerialNumber: serial, TokenCode: code }: MfaInput, user: PrincipalRow, now: Date): boolean {
  if (serial === undefined && code === undefined) return false;
  const device = user.mfaDevices.find(({ serialNumber }) => serialNumber === serial);
  if (!device || code === undefined)
    throw accessDenied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.");
  const step = Math.floor(now.getTime() / STEP_MS);
  const isOurs = [step - 1, step, step + 1].some((counter) => sameCode(code, oneTimeCode(device.seed, counter)));
  if (!isOurs) throw accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code.");
  return true;
}

/** The six digits for a step of 30 seconds since 1970. */
export function oneTimeCode(seed: string, counter: number): string {
  const message = Buffer.alloc(8);
  message.writeBigUInt64BE(BigInt(counter));
  const digest = createHmac("sha1", decodeBase32(seed)).update(message).digest();
  const offset = (digest.at(-1) ?? 0) & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

function decodeBase32(text: string): Uint8Array {
  let bits = "";
  for (const character of text.replace(/=+$/, "").toUpperCase()) {
    const value = BASE32.indexOf(character);
    if (value < 0) throw new RangeError("the seed of an MFA device is base32");
    bits += value.toString(2).padStart(5, "0");
  }
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}

function sameCode(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
