/**
 * What every STS operation works with: the call, the directory, what policies can ask, and the words of a refusal.
 *
 * Source: STS API Reference; IAM User Guide, "AWS global condition context keys", "Available keys for AWS STS".
 *
 * @module
 */
import type { Directory } from "../directory.ts";
import type { PrincipalRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";
import { authorize } from "../iam/authorize.ts";
import type { ConditionContext } from "../iam/condition.ts";
import { mfaAge } from "../iam/principal.ts";
import type { AnonymousCall, AuthenticatedCaller } from "../service.ts";
import type { Audit } from "../trail.ts";
import { readTrustPolicy } from "./trust-policy.ts";

/** A call whose caller is known: by signature, or by the proof that the operation was given. */
export interface StsRequest {
  readonly call: AnonymousCall;
  readonly caller: AuthenticatedCaller;
  readonly directory: Directory;
  readonly audit: Audit;
}

/** Without `sts:`, or whole; absent values leave no key. */
export type RequestKeys = Readonly<Record<string, readonly string[] | string | undefined>>;

const PRINCIPAL_TYPE = {
  root: "Account",
  user: "User",
  role: "AssumedRole",
  "federated-user": "FederatedUser",
  service: "Service",
} as const;

/** The first of the actions that is not allowed on the role, by its trust policy and the caller's own policies. */
export function refusedAction(
  request: StsRequest,
  role: PrincipalRow,
  actions: readonly string[],
  keys: RequestKeys,
): string | undefined {
  const policy = role.trustPolicy && readTrustPolicy(role.trustPolicy);
  if (!policy) return actions[0];
  const resourcePolicy = { name: `trust policy of role/${role.name}`, policy, accountId: role.accountId };
  return actions.find((action) => decides(request, { action, resource: role.arn, keys, resourcePolicy }) !== "allowed");
}

/** For actions that only the caller's own policies decide. @throws {AwsFault} `AccessDenied` */
export function authorizeOwn(request: StsRequest, action: string, resource: string, keys: RequestKeys = {}): void {
  if (decides(request, { action, resource, keys }) !== "allowed") throw notAuthorized(request.caller, action, resource);
}

interface Question {
  readonly action: string;
  readonly resource: string;
  readonly keys: RequestKeys;
  readonly resourcePolicy?: Parameters<typeof authorize>[1]["resourcePolicy"];
}

function decides({ call, caller, audit }: StsRequest, { action, resource, keys, resourcePolicy }: Question): string {
  const context = contextOf(call, caller, keys);
  const decision = authorize(
    { caller, action, resource, context },
    { ...caller, ...(resourcePolicy ? { resourcePolicy } : {}) },
  );
  audit.decision = decision;
  return decision.outcome;
}

function contextOf(call: AnonymousCall, caller: AuthenticatedCaller, keys: RequestKeys): ConditionContext {
  const { now, region, connection } = call;
  const isKnown = caller.accessKeyId !== "";
  const pairs: RequestKeys = {
    "aws:PrincipalArn": isKnown ? caller.principalArn : undefined,
    "aws:PrincipalAccount": isKnown ? caller.accountId : undefined,
    "aws:PrincipalType": isKnown ? PRINCIPAL_TYPE[caller.type] : undefined,
    "aws:userid": isKnown ? caller.userId : undefined,
    "aws:username": caller.type === "user" ? caller.name : undefined,
    "aws:CurrentTime": now.toISOString(),
    "aws:EpochTime": String(Math.floor(now.getTime() / 1000)),
    "aws:RequestedRegion": region,
    "aws:SecureTransport": String(connection.tlsVersion !== ""),
    "aws:SourceIp": connection.sourceIp,
    "aws:UserAgent": connection.userAgent,
    "aws:MultiFactorAuthAge": mfaAge(caller, now),
    ...keys,
  };
  const context = new Map<string, readonly string[]>(caller.context);
  for (const [name, value] of Object.entries(pairs)) {
    const values = value === undefined ? [] : typeof value === "string" ? [value] : value;
    if (values.length > 0) context.set(name.toLowerCase(), values);
  }
  return context;
}

/** `RoleArn` → the role; nothing if there is none. @throws {AwsFault} `ValidationError`: not an ARN at all */
export function findRole(directory: Directory, roleArn: string): PrincipalRow | undefined {
  if (!/^arn:[^:]+:[^:]+:[^:]*:[^:]+:.+$/.test(roleArn)) throw validationError(`${roleArn} is invalid`);
  const row = directory.principal(roleArn);
  return row?.type === "role" && row.arn === roleArn ? row : undefined;
}

export function notAuthorized(caller: AuthenticatedCaller, action: string, resource: string): AwsFault {
  return accessDenied(`User: ${caller.arn} is not authorized to perform: ${action} on resource: ${resource}`);
}

export function accessDenied(message: string): AwsFault {
  return new AwsFault("AccessDenied", message, 403);
}

export function validationError(message: string): AwsFault {
  return new AwsFault("ValidationError", message);
}
