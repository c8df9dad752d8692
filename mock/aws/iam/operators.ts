/**
 * The condition operators: how one value of a request is compared with one value of a policy.
 *
 * Policy variables stand in String, Arn and Bool values only. AWS's page on operators grants them to Bool, its page on
 * variables does not; this follows the first. `Null` is no comparison and not in the table.
 *
 * Source: IAM User Guide, "AWS JSON policy elements: Condition operators".
 *
 * @module
 */
import { matchesPattern, type VariableLookup } from "./pattern.ts";
import { contains, isBase64, readAddressRange, readInstant, readNumber } from "./values.ts";

export interface Operator {
  readonly negated: boolean;
  /** Whether a policy may hold this value. */
  readonly accepts: (expected: string) => boolean;
  readonly compare: (actual: string, expected: string, variables: VariableLookup | undefined) => boolean;
}
type Comparison = Omit<Operator, "negated">;

function text(wildcards: boolean, ignoreCase: boolean): Comparison {
  return {
    accepts: () => true,
    compare: (actual, expected, variables) => matchesPattern(expected, actual, { wildcards, ignoreCase, variables }),
  };
}

/** Part by part: a wildcard in one part of an ARN does not reach into the next. */
const arn: Comparison = {
  accepts: () => true,
  compare: (actual, expected, variables) => {
    const [actualParts, expectedParts] = [splitArn(actual), splitArn(expected)];
    return (
      actualParts.length === 6 &&
      expectedParts.length === 6 &&
      expectedParts.every((part, i) =>
        matchesPattern(part, actualParts[i] ?? "", { wildcards: true, ignoreCase: false, variables }),
      )
    );
  },
};

/** Colons inside `${…}` belong to a variable, those after the fifth to the resource. */
function splitArn(value: string): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < value.length && parts.length < 5; at++) {
    if (value.startsWith("${", at)) {
      const close = value.indexOf("}", at);
      if (close < 0) break;
      at = close;
    } else if (value[at] === ":") {
      parts.push(value.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, value.slice(start)];
}

function ordered(read: (value: string) => number, holds: (actual: number, expected: number) => boolean): Comparison {
  return {
    accepts: (expected) => !Number.isNaN(read(expected)),
    // Comparing with NaN is false in each of the five ways.
    compare: (actual, expected) => holds(read(actual), read(expected)),
  };
}

const truth: Comparison = {
  accepts: (expected) => /^(true|false)$/i.test(expected) || expected.includes("${"),
  compare: (actual, expected, variables) =>
    matchesPattern(expected, actual, { wildcards: false, ignoreCase: true, variables }),
};

const bytes: Comparison = {
  accepts: isBase64,
  compare: (actual, expected) => isBase64(expected) && actual === expected,
};

const address: Comparison = {
  accepts: (expected) => readAddressRange(expected) !== undefined,
  compare: (actual, expected) => {
    const [one, range] = [readAddressRange(actual), readAddressRange(expected)];
    return one !== undefined && range !== undefined && contains(range, one);
  },
};

const ORDERS: readonly (readonly [string, (a: number, b: number) => boolean])[] = [
  ["Equals", (a, b) => a === b],
  ["LessThan", (a, b) => a < b],
  ["LessThanEquals", (a, b) => a <= b],
  ["GreaterThan", (a, b) => a > b],
  ["GreaterThanEquals", (a, b) => a >= b],
];

/** Name, name of the negation, comparison. */
const COMPARISONS: readonly (readonly [string, string | undefined, Comparison])[] = [
  ["StringEquals", "StringNotEquals", text(false, false)],
  ["StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", text(false, true)],
  ["StringLike", "StringNotLike", text(true, false)],
  ["ArnEquals", "ArnNotEquals", arn],
  ["ArnLike", "ArnNotLike", arn],
  ["Bool", undefined, truth],
  ["BinaryEquals", undefined, bytes],
  ["IpAddress", "NotIpAddress", address],
  ...ORDERS.flatMap(([name, holds]) =>
    (["Numeric", "Date"] as const).map((kind) => {
      const negation = name === "Equals" ? `${kind}NotEquals` : undefined;
      return [`${kind}${name}`, negation, ordered(kind === "Date" ? readInstant : readNumber, holds)] as const;
    }),
  ),
];

export const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  COMPARISONS.flatMap(([name, negation, comparison]): (readonly [string, Operator])[] => [
    [name, { ...comparison, negated: false }],
    ...(negation === undefined ? [] : [[negation, { ...comparison, negated: true }] as const]),
  ]),
);
