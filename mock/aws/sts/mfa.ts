/**
 * Decides whether a code is one of a user's MFA device at this time, and has not been shown before.
 *
 * The step before and the one after count too. The time is the client's.
 *
 * Source: RFC 6238 §5.2: a code is accepted once.
 *
 * @module
 */
import { timingSafeEqual } from "node:crypto";
import type { PrincipalRow } from "../directory-rows.ts";
import { oneTimeCode, STEP_MS } from "./one-time-code.ts";
import { accessDenied, proofTime, type StsRequest } from "./request.ts";

export interface MfaInput {
  readonly SerialNumber?: string;
  readonly TokenCode?: string;
}

/** Whether a device vouches for the call; no if none is named. @throws {AwsFault} `AccessDenied`: it does not */
export function checkMfa(
  { call, spent }: StsRequest,
  { SerialNumber: serial, TokenCode: code }: MfaInput,
  user: PrincipalRow,
): boolean {
  if (serial === undefined && code === undefined) return false;
  const device = user.mfaDevices.find(({ serialNumber }) => serialNumber === serial);
  if (!device || code === undefined)
    throw accessDenied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.");
  const nowMs = proofTime(call).getTime();
  const step = Math.floor(nowMs / STEP_MS);
  const counter = [step - 1, step, step + 1].find((each) => sameCode(code, oneTimeCode(device.seed, each)));
  if (
    counter === undefined ||
    !spent.spend(`mfa ${user.arn} ${serial} ${counter}`, { untilMs: (counter + 2) * STEP_MS, nowMs })
  )
    throw accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code.");
  return true;
}

function sameCode(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
