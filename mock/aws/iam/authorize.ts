/**
 * Decides whether a caller may do what it asks, from the resource's policy, its grants and the caller's own policies.
 *
 *   1. any policy denies                      no
 *   2. a grant covers the request             yes
 *   3. no resource is named                   the caller's side decides
 *   4. resource of the caller's account       yes if its policy allows the caller directly,
 *                                             or the caller's role and the caps agree,
 *                                             or the account and the caller's side agrees
 *   5. resource of another account            yes if its policy allows and the caller's side agrees
 *
 * The caller's side is an Allow of an identity policy under the caps; the caps are permissions boundary and session
 * policies. Root needs no identity policy; a federated user's session without session policies may do nothing; a
 * service has no side and belongs to every account. A key policy or role trust policy must allow by itself; for other
 * resources of the account the caller's side is enough (`identitySuffices`).
 *
 * AWS documents nothing of grants under caps or across accounts. Here they need nothing beside, since AWS's own guides
 * hand keys to service-linked roles of other accounts by grant alone. Not modelled: service and resource control
 * policies, endpoint policies.
 *
 * Source: IAM User Guide, "Policy evaluation logic", "Cross-account policy evaluation logic", "Permissions boundaries
 * for IAM entities", "Session policies"; KMS Developer Guide, "Default key policy", "Grants".
 *
 * @module
 */
import {
  type AccessRequest,
  evaluatePolicies,
  type NamedPolicy,
  type NearMiss,
  nearer,
  type PolicyVerdict,
  type StatementReference,
} from "./evaluate.ts";
import { summarize } from "./explain.ts";

export type { NamedPolicy } from "./evaluate.ts";

/** The policy that hangs on a resource, and whose resource it is. */
export interface ResourcePolicy extends NamedPolicy {
  readonly accountId: string;
  /** Whether callers of the account need no Allow in this policy: S3 and most others, not KMS keys and role trust. */
  readonly identitySuffices?: boolean;
}

/** All that may speak on a request. */
export interface ApplicablePolicies {
  readonly identityPolicies: readonly NamedPolicy[];
  readonly permissionsBoundary?: NamedPolicy;
  /** Absent: the session was made without any. */
  readonly sessionPolicies?: readonly NamedPolicy[];
  readonly resourcePolicy?: ResourcePolicy;
  /** Grants that hold for this very request; each allows it by itself. */
  readonly grants?: readonly StatementReference[];
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

/** What one side of the question says: the statements that allow, or who lacks one. */
type Side =
  | { readonly allows: true; readonly by: readonly StatementReference[] }
  | { readonly allows: false; readonly lacking: Lacking; readonly nearest: NearMiss | undefined };
type Lacking = "resource-based policy" | "identity-based policy" | "permissions boundary" | "session policy";

export function authorize(request: AccessRequest, policies: ApplicablePolicies): Decision {
  const { permissionsBoundary, sessionPolicies, resourcePolicy, grants = [] } = policies;
  const asked = { request, hasBoundary: permissionsBoundary !== undefined };
  const verdict = (named: readonly NamedPolicy[]): PolicyVerdict => evaluatePolicies(named, asked);
  const resource = resourcePolicy && verdict([resourcePolicy]);
  const identity = verdict(policies.identityPolicies);
  const boundary = permissionsBoundary && verdict([permissionsBoundary]);
  const session = sessionPolicies
    ? verdict(sessionPolicies)
    : request.caller.type === "federated-user"
      ? verdict([])
      : undefined;
  const denials = [
    ["a resource-based policy", resource?.denies],
    ["an identity-based policy", identity.denies],
    ["a permissions boundary", boundary?.denies],
    ["a session policy", session?.denies],
  ] as const;
  const denies = denials.flatMap(([, statements]) => statements ?? []);
  const [where] = denials.find(([, statements]) => statements && statements.length > 0) ?? [];
  if (where !== undefined)
    return conclude("explicit deny", { because: `with an explicit deny in ${where}`, by: denies });
  if (grants.length > 0) return conclude("allowed", { because: "", by: grants });
  const caps = both(capOf("permissions boundary", boundary), capOf("session policy", session));
  const own = both(identitySide(request, identity), caps);
  const side = resource && resourcePolicy ? resourceSide(request, { resource, resourcePolicy, caps, own }) : own;
  if (side.allows) return conclude("allowed", { because: "", by: side.by });
  const because = `because no ${side.lacking} allows the ${request.action} action`;
  return conclude("implicit deny", { because, by: [], nearest: side.nearest });
}

interface ResourceQuestion {
  readonly resource: PolicyVerdict;
  readonly resourcePolicy: ResourcePolicy;
  readonly caps: Side;
  readonly own: Side;
}

function resourceSide({ caller }: AccessRequest, { resource, resourcePolicy, caps, own }: ResourceQuestion): Side {
  const { allows, nearest } = resource;
  const isOwnAccount = caller.type === "service" || resourcePolicy.accountId === caller.accountId;
  if (isOwnAccount && allows.direct.length > 0) return { allows: true, by: allows.direct };
  // The role itself was allowed: its caps may stand in the way, a missing identity policy may not.
  const isRoleAllowed = isOwnAccount && allows.role.length > 0;
  const by = isRoleAllowed ? allows.role : [...allows.direct, ...allows.role, ...allows.account];
  if (by.length === 0 && !(isOwnAccount && resourcePolicy.identitySuffices === true))
    return { allows: false, lacking: "resource-based policy", nearest };
  const side = both({ allows: true, by }, isRoleAllowed ? caps : own);
  return side.allows ? side : { ...side, nearest: nearer(side.nearest, nearest) };
}

function identitySide({ caller }: AccessRequest, identity: PolicyVerdict): Side {
  if (caller.type === "root" || caller.type === "service") return { allows: true, by: identity.allows.direct };
  return capOf("identity-based policy", identity);
}

/** A kind of policy that must allow if it is there. */
function capOf(lacking: Lacking, verdict: PolicyVerdict | undefined): Side {
  if (!verdict) return { allows: true, by: [] };
  if (verdict.allows.direct.length > 0) return { allows: true, by: verdict.allows.direct };
  return { allows: false, lacking, nearest: verdict.nearest };
}

function both(first: Side, second: Side): Side {
  if (!first.allows) return first;
  return second.allows ? { allows: true, by: [...first.by, ...second.by] } : second;
}

interface Grounds {
  readonly because: string;
  readonly by: readonly StatementReference[];
  readonly nearest?: NearMiss | undefined;
}

function conclude(outcome: Decision["outcome"], { because, by, nearest }: Grounds): Decision {
  const facts = { outcome, because, decidedBy: by, ...(nearest ? { nearest } : {}) };
  return { summary: summarize(facts), ...facts };
}
