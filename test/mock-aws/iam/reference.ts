/**
 * A second opinion on policy decisions, slow and written the other way round from the evaluator under test.
 *
 * It reads raw policy JSON, turns globs into regular expressions, conditions into tables of truth values, addresses into
 * bit strings, and finds the decision by listing every *way* to an Allow together with the implicit denies that AWS's
 * table says may limit this way. No code of `mock/aws/iam` is used; only its type of caller.
 */
import type { Caller } from "../../../mock/aws/iam/principal.ts";

export interface RawStatement {
  readonly Effect: "Allow" | "Deny";
  readonly [element: string]: unknown;
}
export interface RawPolicy {
  readonly Version?: "2012-10-17" | "2008-10-17";
  readonly Statement: readonly RawStatement[];
}
export type RawContext = Readonly<Record<string, readonly string[]>>;

export interface Case {
  readonly caller: Caller;
  readonly action: string;
  readonly resource: string;
  readonly context: RawContext;
  readonly identity: readonly RawPolicy[];
  readonly boundary: RawPolicy | null;
  readonly session: readonly RawPolicy[] | null;
  /** Of the resource, which account 111122223333 owns; null where the action has none. */
  readonly keyPolicy: RawPolicy | null;
  readonly identitySuffices: boolean;
  readonly hasGrant: boolean;
}

export interface Verdict {
  readonly outcome: "allowed" | "explicit deny" | "implicit deny";
  readonly because: string;
}

const OWNER = "111122223333";
type Limit = "identity-based policy" | "permissions boundary" | "session policy";
const EVERY_LIMIT: readonly Limit[] = ["identity-based policy", "permissions boundary", "session policy"];

export function referenceVerdict(given: Case): Verdict {
  const policiesOf: readonly (readonly [string, readonly RawPolicy[]])[] = [
    ["a resource-based policy", given.keyPolicy ? [given.keyPolicy] : []],
    ["an identity-based policy", given.identity],
    ["a permissions boundary", given.boundary ? [given.boundary] : []],
    ["a session policy", given.session ?? []],
  ];
  for (const [name, policies] of policiesOf)
    if (policies.some((policy) => policy.Statement.some((s) => s.Effect === "Deny" && applies(policy, s, given))))
      return { outcome: "explicit deny", because: `with an explicit deny in ${name}` };

  const allowedBy = (policies: readonly RawPolicy[]): boolean =>
    policies.some((policy) => policy.Statement.some((s) => s.Effect === "Allow" && applies(policy, s, given)));
  const satisfied: Record<Limit, boolean> = {
    "identity-based policy": ["root", "service"].includes(given.caller.type) || allowedBy(given.identity),
    "permissions boundary": given.boundary === null || allowedBy([given.boundary]),
    "session policy": given.session === null ? given.caller.type !== "federated-user" : allowedBy(given.session),
  };
  const ways = waysToAllow(given);
  if (ways.some((limits) => limits.every((limit) => satisfied[limit]))) return { outcome: "allowed", because: "" };
  const widest = [...ways].sort((a, b) => a.length - b.length)[0];
  const lacking = widest ? widest.find((limit) => !satisfied[limit]) : "resource-based policy";
  return { outcome: "implicit deny", because: `because no ${lacking} allows the ${given.action} action` };
}

/** Each way to an Allow, as the implicit denies that could close it. */
function waysToAllow({ keyPolicy, hasGrant, caller, identitySuffices, ...rest }: Case): (readonly Limit[])[] {
  const ways: (readonly Limit[])[] = [];
  if (hasGrant) ways.push([]);
  if (!keyPolicy) ways.push(EVERY_LIMIT);
  const isForeign = caller.accountId !== OWNER && caller.type !== "service";
  if (keyPolicy && identitySuffices && !isForeign) ways.push(EVERY_LIMIT);
  const given = { keyPolicy, hasGrant, caller, identitySuffices, ...rest };
  for (const statement of keyPolicy?.Statement ?? []) {
    if (statement.Effect !== "Allow" || !keyPolicy || !applies(keyPolicy, statement, given)) continue;
    for (const grantee of granteesOf(statement, caller)) ways.push(isForeign ? EVERY_LIMIT : LIMITS[grantee]);
  }
  return ways;
}

/** AWS's table "Resource-based policies and implicit denies in other policy types (same account)". */
type Grantee = "anyone" | "this very principal" | "its role or issuer" | "its account";
const LIMITS: Readonly<Record<Grantee, readonly Limit[]>> = {
  anyone: [],
  "this very principal": [],
  "its role or issuer": ["permissions boundary", "session policy"],
  "its account": EVERY_LIMIT,
};

function granteesOf(statement: RawStatement, caller: Caller): readonly Grantee[] {
  if ("NotPrincipal" in statement) return ["anyone"];
  return flatten(statement["Principal"]).flatMap((one) => meaning(one, caller));
}

/** `"*"` and `{AWS: [...], Service: ...}` as pairs of type and value. */
function flatten(element: unknown): readonly (readonly [type: string, value: string])[] {
  if (typeof element === "string") return [["AWS", element]];
  return Object.entries(element as Record<string, string | string[]>).flatMap(([type, values]) =>
    [values].flat().map((value) => [type, value] as const),
  );
}

function meaning([type, value]: readonly [string, string], caller: Caller): readonly Grantee[] {
  if (value === "*") return ["anyone"];
  if (type === "Service") return caller.type === "service" && caller.name === value ? ["this very principal"] : [];
  if (type === "Federated") return caller.federatedProvider === value ? ["this very principal"] : [];
  if (caller.type === "service") return [];
  const self = `arn:${caller.partition}:iam::${caller.accountId}:root`;
  if (value === caller.accountId || value === self)
    return caller.type === "root" ? ["this very principal"] : ["its account"];
  if (value === caller.arn || value === caller.userId) return ["this very principal"];
  if (value === caller.principalArn || value === caller.issuerArn) return ["its role or issuer"];
  return value === caller.userId.split(":")[0] ? ["its role or issuer"] : [];
}

function applies(policy: RawPolicy, statement: RawStatement, given: Case): boolean {
  const table = policy.Version === "2012-10-17" ? given.context : undefined;
  return (
    principalFits(statement, given) &&
    elementFits(statement, { element: "Action", value: given.action.toLowerCase(), table: undefined }) &&
    elementFits(statement, { element: "Resource", value: given.resource, table }) &&
    Object.entries((statement["Condition"] ?? {}) as Record<string, Record<string, string | string[]>>).every(
      ([operator, tests]) =>
        Object.entries(tests).every(([key, values]) =>
          referenceCondition({ operator, key, values: [values].flat() }, given.context, table),
        ),
    )
  );
}

function principalFits(statement: RawStatement, { caller, boundary }: Case): boolean {
  if ("Principal" in statement) return granteesOf(statement, caller).length > 0;
  if (!("NotPrincipal" in statement)) return true;
  const named = flatten(statement["NotPrincipal"]);
  if (statement.Effect === "Allow") return !named.some((one) => meaning(one, caller).length > 0);
  if (boundary) return true;
  if (named.some(([, value]) => value === "*")) return false;
  if (caller.type === "service") return !named.some((one) => meaning(one, caller).length > 0);
  const isAccountNamed = named.some(
    ([, v]) => v === caller.accountId || v === `arn:${caller.partition}:iam::${caller.accountId}:root`,
  );
  if (caller.type === "root") return !isAccountNamed;
  const values = named.map(([, value]) => value);
  const ids = [caller.userId, caller.userId.split(":")[0] ?? ""].filter((id) => /^A(IDA|ROA)/.test(id));
  const isEntityNamed = values.includes(caller.principalArn) || values.some((value) => ids.includes(value));
  const isSelfNamed = caller.arn === caller.principalArn ? isEntityNamed : values.includes(caller.arn);
  return !(isAccountNamed && isEntityNamed && isSelfNamed);
}

interface Element {
  readonly element: "Action" | "Resource";
  readonly value: string;
  readonly table: RawContext | undefined;
}

function elementFits(statement: RawStatement, { element, value, table }: Element): boolean {
  const fold = (text: string): string => (element === "Action" ? text.toLowerCase() : text);
  const not = statement[`Not${element}`] as string | string[] | undefined;
  const patterns = [(not ?? statement[element] ?? []) as string | string[]].flat().map((one) => {
    const filled = substitute(one, table);
    return filled === undefined ? undefined : glob(fold(filled));
  });
  if (patterns.length === 0) return false;
  if (not === undefined) return patterns.some((pattern) => pattern?.test(value));
  return patterns.every((pattern) => pattern !== undefined && !pattern.test(value));
}

/** Characters out of the private use area stand for `*`, `?`, `$` and `:` that are meant literally. */
const LITERAL: Readonly<Record<string, string>> = { "*": "\uE000", "?": "\uE001", $: "\uE002", ":": "\uE003" };
const unhide = (text: string): string =>
  Object.entries(LITERAL).reduce((done, [character, hidden]) => done.replaceAll(hidden, character), text);

function substitute(pattern: string, table: RawContext | undefined): string | undefined {
  if (!table) return pattern;
  let isWhole = true;
  const filled = pattern.replace(/\$\{([^}]*)\}/g, (_, inner: string) => {
    if (inner in LITERAL && inner !== ":") return LITERAL[inner] ?? "";
    const [, key = "", , fallback] = /^\s*([^,]*?)\s*(,\s*'([^']*)'\s*)?$/.exec(inner) ?? [];
    const values = table[key.toLowerCase()] ?? [];
    const value = values.length === 1 ? values[0] : fallback;
    if (value === undefined) isWhole = false;
    return [...(value ?? "")].map((character) => LITERAL[character] ?? character).join("");
  });
  return isWhole ? filled : undefined;
}

/** The whole text must fit. */
export function glob(pattern: string): RegExp {
  const source = [...pattern].map((character) => {
    if (character === "*") return "[\\s\\S]*";
    if (character === "?") return "[\\s\\S]";
    return unhide(character).replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
  });
  return new RegExp(`^${source.join("")}$`, "u");
}

export interface RawCondition {
  readonly operator: string;
  readonly key: string;
  readonly values: readonly string[];
}

/** One condition, by the table of every value of the request against every value of the policy. */
export function referenceCondition(
  { operator, key, values }: RawCondition,
  context: RawContext,
  table: RawContext | undefined,
): boolean {
  const [, set = "", base = "", ifExists] = /^(ForAllValues:|ForAnyValue:|)(\w+?)(IfExists)?$/.exec(operator) ?? [];
  const actual = context[key.toLowerCase()] ?? [];
  if (base === "Null") return values.map((v) => v.toLowerCase()).includes(actual.length > 0 ? "false" : "true");
  const isNegated = base.includes("Not");
  const positive = base.replace("Not", "");
  const seen = set === "" || actual.some((value) => value !== "") ? actual : [];
  if (seen.length === 0) return ifExists !== undefined || set === "ForAllValues:" || (isNegated && set === "");
  const takesVariables = /^(String|Arn|Bool)/.test(base);
  const wanted = values.map((value) => (takesVariables ? substitute(value, table) : value));
  if (isNegated && wanted.includes(undefined)) return false;
  const truth = seen.map((one) => wanted.map((other) => other !== undefined && compare(positive, one, other)));
  const rows = truth.map((row) => (isNegated ? !row.includes(true) : row.includes(true)));
  if (set === "ForAllValues:") return !rows.includes(false);
  if (set === "ForAnyValue:") return rows.includes(true);
  return isNegated ? !truth.flat().includes(true) : truth.flat().includes(true);
}

function compare(operator: string, actual: string, wanted: string): boolean {
  switch (operator) {
    case "StringEquals":
      return actual === unhide(wanted);
    case "StringEqualsIgnoreCase":
    case "Bool":
      return actual.toUpperCase() === unhide(wanted).toUpperCase();
    case "StringLike":
      return glob(wanted).test(actual);
    case "ArnEquals":
    case "ArnLike":
      return arnParts(wanted, actual);
    case "BinaryEquals":
      return isCanonical(wanted) && Buffer.from(actual, "base64").equals(Buffer.from(wanted, "base64"));
    case "IpAddress":
      return isInRange(actual, wanted);
    default: {
      const read = operator.startsWith("Date") ? time : decimal;
      const [a, b] = [read(actual), read(wanted)];
      if (a === undefined || b === undefined) return false;
      const order = a < b ? "Less" : a > b ? "Greater" : "Equals";
      return operator.replace(/^(Date|Numeric)/, "").includes(order);
    }
  }
}

function arnParts(wanted: string, actual: string): boolean {
  const cut = (text: string): string[] =>
    /^([^:]*):([^:]*):([^:]*):([^:]*):([^:]*):([\s\S]*)$/.exec(text)?.slice(1) ?? [];
  const [patterns, parts] = [cut(wanted), cut(actual)];
  return patterns.length === 6 && parts.length === 6 && patterns.every((one, i) => glob(one).test(parts[i] ?? ""));
}

const isCanonical = (text: string): boolean => /^([\w+/]{4})*([\w+/]{2}==|[\w+/]{3}=)?$/.test(text);
const decimal = (text: string): number | undefined => (/^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined);

function time(text: string): number | undefined {
  if (/^\d{5,}$/.test(text)) return Number(text) * 1000;
  const match = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?Z)?)?)?$/.exec(text);
  if (!match) return undefined;
  const [, year, month = "1", day = "1", hour = "0", minute = "0", second = "0"] = match;
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
}

function isInRange(actual: string, range: string): boolean {
  const [base = "", length] = range.split("/");
  const [one, other] = [bitsOf(actual), bitsOf(base)];
  if (one === undefined || other?.length !== one.length) return false;
  const prefix = length === undefined ? one.length : Number(length);
  return one.slice(0, prefix) === other.slice(0, prefix);
}

/** An address as a text of zeros and ones; only the forms the generators write. */
function bitsOf(address: string): string | undefined {
  const binary = (value: number, width: number): string => value.toString(2).padStart(width, "0");
  if (/^\d+\.\d+\.\d+\.\d+$/.test(address))
    return address
      .split(".")
      .map((part) => binary(Number(part), 8))
      .join("");
  if (!/^[\da-f:]+$/.test(address) || !address.includes(":")) return undefined;
  const missing = 8 - address.split(":").filter((group) => group !== "").length;
  const whole = address.includes("::") ? address.replace("::", `:${"0:".repeat(missing)}`) : address;
  return whole
    .split(":")
    .filter((group) => group !== "")
    .map((group) => binary(Number.parseInt(group, 16), 16))
    .join("");
}
