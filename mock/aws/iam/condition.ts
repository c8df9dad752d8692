/**
 * Decides whether one condition of a policy statement holds for a request.
 *
 *   key absent    positive operators fail, negated ones hold, `…IfExists` holds, `ForAllValues` holds, `ForAnyValue`
 *                 fails, `Null` says which
 *   key present   any of the policy's values may match; negated operators demand that none does
 *
 * Condition keys are compared without case. IpAddress, NotIpAddress and BinaryEquals are not offered.
 *
 * Source: IAM User Guide, "AWS JSON policy elements: Condition operators", "Conditions with multiple context keys or
 * values".
 *
 * @module
 */
import { matchesPattern, type VariableLookup } from "./pattern.ts";

/** What a request says of itself: lower-case key → its values. A key with no value is not in the map. */
export type ConditionContext = ReadonlyMap<string, readonly string[]>;

export interface Condition {
  /** The operator as the policy writes it, e.g. `ForAnyValue:StringEqualsIfExists`. */
  readonly written: string;
  readonly operator: string;
  readonly quantifier: "all" | "any" | "none";
  readonly ifExists: boolean;
  readonly key: string;
  readonly values: readonly string[];
}

type Compare = (actual: string, expected: string, variables: VariableLookup | undefined) => boolean;
interface Operator {
  readonly negated: boolean;
  readonly compare: Compare;
}

function text(wildcards: boolean, ignoreCase: boolean): Compare {
  return (actual, expected, variables) => matchesPattern(expected, actual, { wildcards, ignoreCase, variables });
}

/** Part by part: a wildcard in one part of an ARN does not reach into the next. */
const arn: Compare = (actual, expected, variables) => {
  const [actualParts, expectedParts] = [splitArn(actual), splitArn(expected)];
  return (
    actualParts.length === 6 &&
    expectedParts.length === 6 &&
    expectedParts.every((part, i) =>
      matchesPattern(part, actualParts[i] ?? "", { wildcards: true, ignoreCase: false, variables }),
    )
  );
};

/** Colons inside `${…}` belong to a variable, those after the fifth to the resource. */
function splitArn(value: string): readonly string[] {
  const parts = value.match(/(?:\$\{[^}]*\}|[^:])*(?::|$)/g)?.map((part) => part.replace(/:$/, "")) ?? [];
  if (parts.at(-1) === "" && !value.endsWith(":")) parts.pop();
  return [...parts.slice(0, 5), ...(parts.length > 5 ? [parts.slice(5).join(":")] : [])];
}

function number(holds: (actual: number, expected: number) => boolean): Compare {
  return (actual, expected) =>
    both(actual, expected, (value) => (value.trim() === "" ? Number.NaN : Number(value)), holds);
}

function date(holds: (actual: number, expected: number) => boolean): Compare {
  return (actual, expected) => both(actual, expected, instant, holds);
}

/** ISO 8601, or seconds since 1970. */
function instant(value: string): number {
  return /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value);
}

function both(
  actual: string,
  expected: string,
  read: (value: string) => number,
  holds: (actual: number, expected: number) => boolean,
): boolean {
  const [a, b] = [read(actual), read(expected)];
  return !Number.isNaN(a) && !Number.isNaN(b) && holds(a, b);
}

const ordered: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equals: (a, b) => a === b,
  LessThan: (a, b) => a < b,
  LessThanEquals: (a, b) => a <= b,
  GreaterThan: (a, b) => a > b,
  GreaterThanEquals: (a, b) => a >= b,
};

const POSITIVE: readonly (readonly [string, Compare])[] = [
  ["StringEquals", text(false, false)],
  ["StringEqualsIgnoreCase", text(false, true)],
  ["StringLike", text(true, false)],
  ["ArnEquals", arn],
  ["ArnLike", arn],
  ["Bool", (actual, expected) => actual.toLowerCase() === expected.toLowerCase()],
  ...Object.entries(ordered).map(([name, holds]) => [`Numeric${name}`, number(holds)] as const),
  ...Object.entries(ordered).map(([name, holds]) => [`Date${name}`, date(holds)] as const),
];
const NEGATABLE = /^(String|Arn)|^(Numeric|Date)Equals$/;

const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ...POSITIVE.map(([name, compare]) => [name, { negated: false, compare }] as const),
  ...POSITIVE.filter(([name]) => NEGATABLE.test(name)).map(
    ([name, compare]) => [name.replace(/(Equals|Like)/, "Not$1"), { negated: true, compare }] as const,
  ),
]);

/** Takes an operator apart; nothing for one that is not known. */
export function readOperator(written: string): Pick<Condition, "operator" | "quantifier" | "ifExists"> | undefined {
  const [, set, name = "", suffix] = /^(ForAllValues:|ForAnyValue:)?([A-Za-z]+?)(IfExists)?$/.exec(written) ?? [];
  const quantifier = set === "ForAllValues:" ? "all" : set === "ForAnyValue:" ? "any" : "none";
  const ifExists = suffix !== undefined;
  if (name === "Null" && !ifExists && quantifier === "none") return { operator: name, quantifier, ifExists };
  return OPERATORS.has(name) ? { operator: name, quantifier, ifExists } : undefined;
}

export function conditionHolds(
  condition: Condition,
  context: ConditionContext,
  variables: VariableLookup | undefined,
): boolean {
  const actual = context.get(condition.key.toLowerCase()) ?? [];
  if (condition.operator === "Null")
    return condition.values.some((value) => value.toLowerCase() === String(actual.length === 0));
  const operator = OPERATORS.get(condition.operator);
  if (!operator) throw new TypeError(`no condition operator ${condition.operator}`);
  if (actual.length === 0) {
    if (condition.ifExists || condition.quantifier === "all") return true;
    return operator.negated && condition.quantifier === "none";
  }
  const matches = (value: string): boolean =>
    condition.values.some((expected) => operator.compare(value, expected, variables));
  const holds = (value: string): boolean => matches(value) !== operator.negated;
  // Without a set operator a negated condition on several values holds only if none of them matches.
  return condition.quantifier === "all" || (condition.quantifier === "none" && operator.negated)
    ? actual.every(holds)
    : actual.some(holds);
}
