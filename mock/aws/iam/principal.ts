/**
 * Who calls, and whom a policy's `Principal` element means.
 *
 *   direct   everyone, the user's ARN, the session's ARN (role or federated user), the service, the identity provider
 *            of a federated session, or the root user by its account: what its own policies leave out does not matter
 *   role     the role's ARN, or the user's who made a federated session: the boundary and session policies still cap it
 *   account  the account, by ARN or number: delegation, the caller's own policies must allow too
 *
 * Of the identity provider AWS documents no more than the form. A principal's unique id stands in policies whose
 * principal is gone; it means whoever still has that id. Wildcards inside an ARN and CanonicalUser are refused.
 *
 * Source: IAM User Guide, "AWS JSON policy elements: Principal", "NotPrincipal", "Policy evaluation logic" (table of
 * resource-based policies and implicit denies), "IAM identifiers".
 *
 * @module
 */

export type Partition = "aws" | "aws-cn" | "aws-us-gov";

/** An authenticated caller: an account's root, a user, a session of a role, a federated user, or a service. */
export interface Caller {
  readonly partition: Partition;
  /** 12 digits. */
  readonly accountId: string;
  readonly type: "root" | "user" | "role" | "federated-user" | "service";
  /** Of the user or role, without its path; of a service its principal, e.g. `logs.eu-central-1.amazonaws.com`. */
  readonly name: string;
  /** What `aws:PrincipalArn` says: the ARN of the root, user, role (with its path) or federated user. */
  readonly principalArn: string;
  /** What AWS shows in messages and events: for a role its session's ARN. */
  readonly arn: string;
  /** What `aws:userid` says. */
  readonly userId: string;
  readonly accessKeyId: string;
  /** Lower-case condition key → values that hang on the caller: `aws:principaltag/…`, `saml:…`, and so on. */
  readonly context: ReadonlyMap<string, readonly string[]>;
  /** Of a federated user: the ARN of the user who asked for the session. */
  readonly issuerArn?: string;
  /** Of a session from web identity or SAML: `cognito-identity.amazonaws.com`, or the provider's ARN. */
  readonly federatedProvider?: string;
  /** When MFA vouched for the session; ISO 8601. Absent: it did not. */
  readonly mfaAt?: string;
  /** The service that calls on the caller's behalf, e.g. `s3.eu-central-1.amazonaws.com`. */
  readonly viaService?: string;
}

/** How a statement reaches a caller, strongest first. */
export type PrincipalMatch = "direct" | "role" | "account" | "none";

export type PrincipalPattern =
  | { readonly kind: "everyone" }
  /** With a partition if an ARN said it. */
  | { readonly kind: "account"; readonly accountId: string; readonly partition?: string }
  | { readonly kind: "arn"; readonly arn: string }
  /** `AIDA…`, `AROA…`: AWS's unique id of a user or role. */
  | { readonly kind: "id"; readonly id: string }
  | { readonly kind: "service" | "federated"; readonly name: string };

export interface PrincipalElement {
  /** Whether it is `NotPrincipal`. */
  readonly negated: boolean;
  readonly patterns: readonly PrincipalPattern[];
}

/** Whom a statement is asked about. */
export interface PrincipalQuestion {
  readonly effect: "Allow" | "Deny";
  readonly caller: Caller;
  readonly hasBoundary: boolean;
}

const NAME = "[\\w+=,.@-]+";
/** Printable characters but `*`, `?` and the slash itself. */
const PATH = "(?:[!-)+-.0->@-~]+/)*";
const ROOT = /^arn:(aws|aws-cn|aws-us-gov):iam::(\d{12}):root$/;
const ENTITY = new RegExp(`^arn:(?:aws|aws-cn|aws-us-gov):iam::\\d{12}:(?:user|role)/${PATH}${NAME}$`);
const SESSION = new RegExp(
  `^arn:(?:aws|aws-cn|aws-us-gov):sts::\\d{12}:(?:assumed-role/${NAME}/${NAME}|federated-user/${NAME})$`,
);
const PROVIDER = /^arn:(?:aws|aws-cn|aws-us-gov):iam::\d{12}:(?:saml|oidc)-provider\/[\w.:/-]+$/;
const HOST = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/;

/** One value under a principal type; nothing for a form that is not a principal. */
export function readPrincipal(type: string, value: string): PrincipalPattern | undefined {
  if (type === "AWS") return readAwsPrincipal(value);
  if (type === "Service" && HOST.test(value)) return { kind: "service", name: value };
  if (type === "Federated" && (HOST.test(value) || PROVIDER.test(value))) return { kind: "federated", name: value };
  return undefined;
}

function readAwsPrincipal(value: string): PrincipalPattern | undefined {
  if (value === "*") return { kind: "everyone" };
  if (/^\d{12}$/.test(value)) return { kind: "account", accountId: value };
  const [, partition, accountId] = ROOT.exec(value) ?? [];
  if (partition !== undefined && accountId !== undefined) return { kind: "account", accountId, partition };
  if (ENTITY.test(value) || SESSION.test(value)) return { kind: "arn", arn: value };
  return /^A(?:IDA|ROA)[A-Z0-9]{12,124}$/.test(value) ? { kind: "id", id: value } : undefined;
}

/** The role or user ARN that must exist for an ARN to be a principal; a role's path is not in its sessions' ARNs. */
export function principalArnOf(arn: string): string {
  return arn.replace(/^arn:([a-z-]+):sts::(\d{12}):assumed-role\/([^/]+)\/.*$/, "arn:$1:iam::$2:role/$3");
}

export function matchPrincipal(element: PrincipalElement, question: PrincipalQuestion): PrincipalMatch {
  if (element.negated) return isOutside(element.patterns, question) ? "direct" : "none";
  const reached = element.patterns.map((pattern) => reach(pattern, question.caller));
  return (["direct", "role", "account"] as const).find((match) => reached.includes(match)) ?? "none";
}

function reach(pattern: PrincipalPattern, caller: Caller): PrincipalMatch {
  switch (pattern.kind) {
    case "everyone":
      return "direct";
    case "account":
      if (!isAccount(pattern, caller)) return "none";
      return caller.type === "root" ? "direct" : "account";
    case "arn":
      if (pattern.arn === caller.arn) return "direct";
      return pattern.arn === caller.principalArn || pattern.arn === caller.issuerArn ? "role" : "none";
    case "id":
      if (caller.userId === pattern.id) return "direct";
      return caller.userId.startsWith(`${pattern.id}:`) ? "role" : "none";
    case "service":
      return caller.type === "service" && pattern.name === caller.name ? "direct" : "none";
    case "federated":
      return pattern.name === caller.federatedProvider ? "direct" : "none";
    default:
      return pattern satisfies never;
  }
}

/**
 * Whether `NotPrincipal` reaches the caller. AWS's page says it "might" check account, role and session one after the
 * other; where it might, this takes the refusing side: a Deny spares only callers named at every level, an Allow
 * passes over callers named at any. A Deny always reaches who has a permissions boundary (AWS documents that).
 */
function isOutside(patterns: readonly PrincipalPattern[], { effect, caller, hasBoundary }: PrincipalQuestion): boolean {
  if (effect === "Deny" && hasBoundary) return true;
  if (patterns.some((pattern) => pattern.kind === "everyone")) return false;
  if (effect === "Allow") return patterns.every((pattern) => reach(pattern, caller) === "none");
  if (caller.type === "service") return patterns.every((pattern) => reach(pattern, caller) === "none");
  const isNamed = (arn: string): boolean =>
    patterns.some((pattern) => pattern.kind === "arn" && pattern.arn === arn) ||
    (arn === caller.principalArn &&
      patterns.some((pattern) => pattern.kind === "id" && reach(pattern, caller) !== "none"));
  const isAccountNamed = patterns.some((pattern) => isAccount(pattern, caller));
  if (caller.type === "root") return !isAccountNamed;
  return !(isAccountNamed && isNamed(caller.arn) && isNamed(caller.principalArn));
}

function isAccount(pattern: PrincipalPattern, caller: Caller): boolean {
  return (
    pattern.kind === "account" &&
    caller.type !== "service" &&
    pattern.accountId === caller.accountId &&
    (pattern.partition ?? caller.partition) === caller.partition
  );
}
