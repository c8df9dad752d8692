/**
 * Decides whether a call may do an action: on a key, by its policy, its grants and the caller's own policies; on what
 * has no key, by the caller's own policies alone.
 *
 * Whoever is not let at another account's key does not learn whether there is one: what is missing and what is shut
 * are refused in the same words, which depend on nothing but the caller's own policies.
 *
 * Source: KMS Developer Guide, "Key policies", "Grants in AWS KMS"; field reports of the texts.
 *
 * @module
 */
import { AwsFault } from "../fault.ts";
import { authorize, type Decision } from "../iam/authorize.ts";
import type { ConditionContext } from "../iam/condition.ts";
import type { Policy } from "../iam/policy.ts";
import type { ServiceCall } from "../service.ts";
import { contextOf, type KeyAttributes, type RequestFacts } from "./context.ts";
import { grantsThatHold } from "./grants.ts";
import { policyOf } from "./key-policy.ts";
import type { KeySituation } from "./key-state.ts";
import type { FamilyRow, KmsTables } from "./rows.ts";

/** How an operation asks for authorization. */
export interface AuthorizationOptions extends RequestFacts {
  readonly grantTokens?: readonly string[] | undefined;
  /** Offered to the key's own account only, whatever policies say. */
  readonly ownAccountOnly?: boolean;
  /** Tried on instead of the key's own policy. */
  readonly policy?: Policy;
  /** What policies say by themselves. */
  readonly withoutGrants?: boolean;
}

/** A key that a request named, and how. */
export interface NamedKey extends KeySituation {
  readonly requestAlias?: string;
  /** What a refusal calls it, where the key's own ARN would tell too much. */
  readonly shownAs?: string;
  /** An AWS managed key that is made when the caller is let at it. */
  readonly isDraft?: boolean;
}

/** A planned key's attributes, and its family if it has one already. */
export interface PlannedKey {
  readonly attributes: KeyAttributes;
  readonly family?: FamilyRow;
  /** Where the key will be, if not where the call is made. */
  readonly region?: string;
}

interface Asking {
  readonly call: ServiceCall;
  readonly tables: KmsTables;
}

/** What a denial of another account's key says, whether there is one or not. */
const UNTOLD =
  "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access";
/** How a denial calls the key of a ciphertext that named none. */
export const KEY_OF_CIPHERTEXT = "the resource associated with this ciphertext";

/** Evaluates without throwing. */
export function decide(
  { call, tables }: Asking,
  action: string,
  named: NamedKey,
  options: AuthorizationOptions,
): Decision {
  const { grantTokens = [], withoutGrants = false, policy = policyOf(named.key) } = options;
  const { key, family, requestAlias } = named;
  const { caller, now } = call;
  let context: ConditionContext | undefined;
  const subject = { action, key: { attributes: key, family, tables }, facts: { requestAlias, ...options } };
  const asked = {
    caller,
    action: `kms:${action}`,
    resource: key.arn,
    // Most decisions hang on no condition, and so gather nothing.
    get context(): ConditionContext {
      context ??= contextOf(call, subject);
      return context;
    },
  };
  const [sourceArn] = caller.context.get("aws:sourcearn") ?? [];
  const question = { key, caller, action, encryptionContext: options.encryptionContext, grantTokens, sourceArn, now };
  const held = withoutGrants ? [] : grantsThatHold(tables, question);
  const byIdentity = held.some(({ isDelegated }) => isDelegated) && authorize(asked, caller).outcome === "allowed";
  const { identityPolicies, permissionsBoundary, sessionPolicies } = caller;
  return authorize(asked, {
    identityPolicies,
    resourcePolicy: { name: "key policy", policy, accountId: key.accountId },
    grants: held.filter(({ isDelegated }) => !isDelegated || byIdentity).map(({ reference }) => reference),
    ...(permissionsBoundary ? { permissionsBoundary } : {}),
    ...(sessionPolicies ? { sessionPolicies } : {}),
  });
}

/** For what hangs on no key, or on one that is not there yet: the caller's own policies decide. */
export function decideByIdentity(
  { call, tables }: Asking,
  action: string,
  resource: string,
  { facts = {}, planned }: { readonly facts?: RequestFacts; readonly planned?: PlannedKey | undefined },
): Decision {
  const { region = call.region, attributes, family } = planned ?? {};
  const key = attributes && { attributes, ...(family ? { family } : {}), tables };
  const context = contextOf({ ...call, region }, { action, key, facts });
  return authorize({ caller: call.caller, action: `kms:${action}`, resource, context }, call.caller);
}

/** In AWS's words. */
export function denied(
  { caller }: ServiceCall,
  { action, resource, because }: { readonly action: string; readonly resource?: string; readonly because: string },
): AwsFault {
  const on =
    resource === undefined ? "" : resource === KEY_OF_CIPHERTEXT ? ` on ${resource}` : ` on resource: ${resource}`;
  return new AwsFault(
    "AccessDeniedException",
    `User: ${caller.arn} is not authorized to perform: kms:${action}${on} ${because}`,
  );
}

/** A denial of another account's key or alias. `resource`: as the request named it. */
export function deniedAbroad(asking: Asking, action: string, resource: string): AwsFault {
  const { outcome, because } = decideByIdentity(asking, action, resource, {});
  return denied(asking.call, { action, resource, because: outcome === "allowed" ? UNTOLD : because });
}
