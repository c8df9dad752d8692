/**
 * Who calls, and whom a policy's `Principal` element means.
 *
 * A role's session is meant by its own ARN, by its role's ARN, and (as delegation, not directly) by its account.
 * Service and federated principals are read and mean no caller here: nothing in mock mode calls as a service.
 *
 * Source: IAM User Guide, "AWS JSON policy elements: Principal", "NotPrincipal".
 *
 * @module
 */

/** An authenticated caller: a user, or a session of a role. */
export interface Caller {
  readonly accountId: string;
  readonly type: "role" | "user";
  readonly name: string;
  /** The user's or the role's ARN: what `aws:PrincipalArn` says. */
  readonly principalArn: string;
  /** The user's ARN or the session's: what AWS shows in messages and events. */
  readonly arn: string;
  readonly accessKeyId: string;
}

/** How a statement reaches a caller. `account` is delegation: for an Allow, an identity policy must agree. */
export type PrincipalMatch = "direct" | "account" | "none";

export type PrincipalPattern =
  | { readonly kind: "everyone" }
  | { readonly kind: "account"; readonly accountId: string }
  | { readonly kind: "arn"; readonly arn: string }
  | { readonly kind: "service" | "federated"; readonly name: string };

export interface PrincipalElement {
  /** Whether it is `NotPrincipal`. */
  readonly negated: boolean;
  readonly patterns: readonly PrincipalPattern[];
}

/** One value under `AWS`; nothing for a form that is not a principal. */
export function readAwsPrincipal(value: string): PrincipalPattern | undefined {
  if (value === "*") return { kind: "everyone" };
  const accountId = /^(?:arn:aws:iam::)?(\d{12})(?::root)?$/.exec(value)?.[1];
  if (accountId !== undefined && value !== `${accountId}:root` && value !== `arn:aws:iam::${accountId}`)
    return { kind: "account", accountId };
  if (/^arn:aws:iam::\d{12}:(user|role)\/[\w+=,.@/-]+$/.test(value)) return { kind: "arn", arn: value };
  if (/^arn:aws:sts::\d{12}:assumed-role\/[\w+=,.@-]+\/[\w+=,.@-]+$/.test(value)) return { kind: "arn", arn: value };
  return undefined;
}

/** The role or user ARN that must exist for an ARN to be a principal. */
export function principalArnOf(arn: string): string {
  return arn.replace(/^arn:aws:sts::(\d{12}):assumed-role\/([^/]+)\/.*$/, "arn:aws:iam::$1:role/$2");
}

export function matchPrincipal(element: PrincipalElement, effect: "Allow" | "Deny", caller: Caller): PrincipalMatch {
  if (element.negated) return isOutside(element.patterns, effect, caller) ? "direct" : "none";
  const direct = element.patterns.some(
    (pattern) => pattern.kind === "everyone" || isNamed(pattern, [caller.arn, caller.principalArn]),
  );
  if (direct) return "direct";
  return element.patterns.some((pattern) => isAccount(pattern, caller)) ? "account" : "none";
}

/**
 * Whether `NotPrincipal` reaches the caller. AWS's page says it "might" check account, role and session one after the
 * other; where it might, this takes the refusing side: a Deny spares only callers named at every level, an Allow
 * passes over callers named at any.
 */
function isOutside(patterns: readonly PrincipalPattern[], effect: "Allow" | "Deny", caller: Caller): boolean {
  if (patterns.some((pattern) => pattern.kind === "everyone")) return false;
  const levels = [...new Set([caller.arn, caller.principalArn])].map((arn) =>
    patterns.some((pattern) => isNamed(pattern, [arn])),
  );
  levels.push(patterns.some((pattern) => isAccount(pattern, caller)));
  return effect === "Deny" ? levels.includes(false) : !levels.includes(true);
}

function isNamed(pattern: PrincipalPattern, arns: readonly string[]): boolean {
  return pattern.kind === "arn" && arns.includes(pattern.arn);
}

function isAccount(pattern: PrincipalPattern, caller: Caller): boolean {
  return pattern.kind === "account" && pattern.accountId === caller.accountId;
}
