/**
 * Decides whether a caller may do what it asks, from the resource's policy and the caller's own.
 *
 *   any policy denies                    → no
 *   no resource is named                 → the caller's own policies decide
 *   resource of the caller's account     → the resource policy allows the caller, or
 *                                          it allows the account and the caller's own policies allow
 *   resource of another account          → both must allow
 *
 * Not modelled: grants, permissions boundaries, session policies, service and resource control policies.
 *
 * Source: IAM User Guide, "Policy evaluation logic"; KMS Developer Guide, "Default key policy".
 *
 * @module
 */
import {
  type AccessRequest,
  evaluatePolicy,
  type NearMiss,
  nearer,
  type PolicyVerdict,
  type StatementReference,
} from "./evaluate.ts";
import type { Policy } from "./policy.ts";

export interface NamedPolicy {
  readonly name: string;
  readonly policy: Policy;
}

/** The policy that hangs on a resource, and whose resource it is. */
export interface ResourcePolicy extends NamedPolicy {
  readonly accountId: string;
}

export interface Decision {
  readonly outcome: "allowed" | "explicit deny" | "implicit deny";
  /** AWS's clause: `because no resource-based policy allows the kms:Decrypt action`. Empty when allowed. */
  readonly because: string;
  readonly decidedBy: readonly StatementReference[];
  /** For a denial: the Allow that came closest, and what it lacked. */
  readonly nearest?: NearMiss;
  /** One sentence for people. */
  readonly summary: string;
}

export function authorize(
  request: AccessRequest,
  identityPolicies: readonly NamedPolicy[],
  resourcePolicy: ResourcePolicy | undefined,
): Decision {
  const identity = merge(identityPolicies.map(({ name, policy }) => evaluatePolicy(name, policy, request)));
  const resource = resourcePolicy && evaluatePolicy(resourcePolicy.name, resourcePolicy.policy, request);
  if (resource && resource.denies.length > 0) return denied("a resource-based policy", resource.denies);
  if (identity.denies.length > 0) return denied("an identity-based policy", identity.denies);
  if (!resource)
    return identity.directAllows.length > 0
      ? allowed(identity.directAllows)
      : unallowed("identity-based", request.action, identity.nearest);
  const isOwnAccount = resourcePolicy?.accountId === request.caller.accountId;
  if (isOwnAccount && resource.directAllows.length > 0) return allowed(resource.directAllows);
  const delegations = [...resource.directAllows, ...resource.accountAllows];
  if (delegations.length === 0) return unallowed("resource-based", request.action, resource.nearest);
  if (identity.directAllows.length > 0) return allowed([...delegations, ...identity.directAllows]);
  return unallowed("identity-based", request.action, nearer(identity.nearest, resource.nearest));
}

function merge(verdicts: readonly PolicyVerdict[]): PolicyVerdict {
  return {
    denies: verdicts.flatMap(({ denies }) => denies),
    directAllows: verdicts.flatMap(({ directAllows }) => directAllows),
    accountAllows: [],
    nearest: verdicts.reduce<NearMiss | undefined>((best, { nearest }) => nearer(best, nearest), undefined),
  };
}

function allowed(decidedBy: readonly StatementReference[]): Decision {
  const summary = `allowed by ${decidedBy.map(show).join(" and ")}`;
  return { outcome: "allowed", because: "", decidedBy, summary };
}

function denied(where: string, decidedBy: readonly StatementReference[]): Decision {
  const summary = `denied by ${decidedBy.map(show).join(" and ")}`;
  return { outcome: "explicit deny", because: `with an explicit deny in ${where}`, decidedBy, summary };
}

function unallowed(
  where: "resource-based" | "identity-based",
  action: string,
  nearest: NearMiss | undefined,
): Decision {
  return {
    outcome: "implicit deny",
    because: `because no ${where} policy allows the ${action} action`,
    decidedBy: [],
    ...(nearest ? { nearest } : {}),
    summary: `no ${where} policy allows ${action}${nearest ? `; nearest is ${showMiss(nearest)}` : ""}`,
  };
}

function show({ policy, statement, sid }: StatementReference): string {
  return `${policy} statement ${statement}${sid === undefined ? "" : ` "${sid}"`}`;
}

function showMiss(miss: NearMiss): string {
  if (miss.stoppedAt !== "condition") return `${show(miss)}, which is for another ${miss.stoppedAt}`;
  const failed = miss.failed.map(({ operator, key, expected, actual }) => {
    const came = actual === "absent" ? "the request has none" : `the request says ${actual.join(", ")}`;
    return `${operator} ${key} wants ${expected.join(" or ")}, ${came}`;
  });
  return `${show(miss)}: ${failed.join("; ")}`;
}
