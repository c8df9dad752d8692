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
import { globalKeys, requestKeys } from "../iam/global-keys.ts";
import { partitionOf } from "../partition.ts";
import type { AnonymousCall, AuthenticatedCaller } from "../service.ts";
import type { Audit } from "../trail.ts";
import type { SpentProofs } from "./spent-proofs.ts";
import { readTrustPolicy } from "./trust-policy.ts";

/** A call whose caller is known: by signature, or by the proof that the operation was given. */
export interface StsRequest {
  readonly call: AnonymousCall;
  readonly caller: AuthenticatedCaller;
  readonly directory: Directory;
  readonly audit: Audit;
  readonly spent: SpentProofs;
}

/** A call whose caller is known as soon as the proof that it brings is verified. */
export interface AnonymousRequest extends Omit<StsRequest, "caller"> {
  readonly identified: (caller: AuthenticatedCaller) => void;
}

/** What tokens, assertions and MFA codes are judged by: whoever makes them has no other clock than the client's. */
export function proofTime({ clientTime, now }: AnonymousCall): Date {
  return clientTime ?? now;
}

/** Without `sts:`, or whole; absent values leave no key. */
export type RequestKeys = Readonly<Record<string, readonly string[] | string | undefined>>;

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
  // Who brings another proof than a signature has no principal yet.
  const isKnown = caller.accessKeyId !== "";
  const own = isKnown ? globalKeys(call, caller) : requestKeys(call, caller);
  const asked = Object.entries(keys).map(
    ([name, value]) => [name, typeof value === "string" ? [value] : value] as const,
  );
  const context = new Map<string, readonly string[]>(caller.context);
  for (const [name, values = []] of [...own, ...asked]) if (values.length > 0) context.set(name.toLowerCase(), values);
  return context;
}

/**
 * `RoleArn` → the role; nothing if there is none.
 *
 * @throws {AwsFault} `ValidationError`: not an ARN at all, or one of a partition that the region is not in
 */
export function findRole(
  { directory, call }: Pick<StsRequest, "directory" | "call">,
  roleArn: string,
): PrincipalRow | undefined {
  const [, partition] = /^arn:([^:]+):[^:]+:[^:]*:[^:]+:.+$/.exec(roleArn) ?? [];
  if (partition === undefined) throw validationError(`${roleArn} is invalid`);
  if (partition !== partitionOf(call.region)) throw validationError("Request ARN is invalid");
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
