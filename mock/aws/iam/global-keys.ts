/**
 * What every request says to policies whatever the service: caller, time, connection.
 *
 * Source: IAM User Guide, "AWS global condition context keys".
 *
 * @module
 */
import type { AnonymousCall } from "../service.ts";
import type { Caller } from "./principal.ts";

/** A condition key and its values; with none the key is absent. */
export type KeyValues = readonly [name: string, values: readonly string[]];

const PRINCIPAL_TYPE = {
  root: "Account",
  user: "User",
  role: "AssumedRole",
  "federated-user": "FederatedUser",
  service: "Service",
} as const;

/** All of them, for a caller that signed. What hangs on the caller itself is in `caller.context`. */
export function globalKeys(call: RequestCircumstances, caller: Caller): readonly KeyValues[] {
  return [...principalKeys(caller, call.now), ...requestKeys(call, caller)];
}

/** A call without what is asked. */
export type RequestCircumstances = Pick<AnonymousCall, "now" | "region" | "connection">;

/** Those about time and connection, which a caller without a principal of its own has as well. */
export function requestKeys(
  { now, region, connection }: RequestCircumstances,
  { viaService }: Caller,
): readonly KeyValues[] {
  return [
    ["aws:ViaAWSService", [String(viaService !== undefined)]],
    ["aws:CalledVia", viaService === undefined ? [] : [viaService.replace(/\..*/, ".amazonaws.com")]],
    ["aws:SecureTransport", [String(connection.tlsVersion !== "")]],
    ["aws:SourceIp", viaService === undefined ? [connection.sourceIp] : []],
    ["aws:UserAgent", [connection.userAgent]],
    ["aws:CurrentTime", [now.toISOString()]],
    ["aws:EpochTime", [String(Math.floor(now.getTime() / 1000))]],
    ["aws:RequestedRegion", [region]],
  ];
}

function principalKeys(caller: Caller, now: Date): readonly KeyValues[] {
  const isService = caller.type === "service";
  return [
    ["aws:PrincipalArn", isService ? [] : [caller.principalArn]],
    ["aws:PrincipalAccount", isService ? [] : [caller.accountId]],
    ["aws:PrincipalType", [PRINCIPAL_TYPE[caller.type]]],
    ["aws:PrincipalIsAWSService", [String(isService)]],
    ["aws:PrincipalServiceName", isService ? [caller.name] : []],
    ["aws:userid", [caller.userId]],
    ["aws:username", caller.type === "user" ? [caller.name] : []],
    ["aws:MultiFactorAuthAge", mfaAge(caller, now)],
  ];
}

/** Whole seconds since the caller showed its device. */
function mfaAge({ mfaAt }: Caller, now: Date): readonly string[] {
  if (mfaAt === undefined) return [];
  return [String(Math.max(0, Math.floor((now.getTime() - Date.parse(mfaAt)) / 1000)))];
}
