/** The parts of a policy's conditions by themselves: operators on values, and patterns. */
import { describe, expect, test } from "vitest";
import { conditionHolds, readOperator } from "../../mock/aws/iam/condition.ts";
import { matchesPattern } from "../../mock/aws/iam/pattern.ts";

/** `${name}`, as policies write it. */
const variable = (name: string): string => `$\{${name}}`;

describe("conditions", () => {
  const context = new Map<string, readonly string[]>([
    ["one", ["Value"]],
    ["many", ["a", "b"]],
    ["number", ["10"]],
    ["date", ["2026-03-01T12:00:00Z"]],
    ["flag", ["true"]],
    ["arn", ["arn:aws:iam::111122223333:role/a/b:c"]],
  ]);
  const absent = "absent";
  test.each([
    ["StringEquals", "ONE", "Value", true],
    ["StringEquals", "one", "value", false],
    ["StringNotEqualsIgnoreCase", "one", "value", false],
    ["StringEqualsIgnoreCase", "one", "vALUE", true],
    ["StringLike", "one", "V?l*", true],
    ["StringNotLike", "one", "V*", false],
    ["StringEquals", "one", "V*", false],
    ["StringNotEquals", "one", ["Value", "x"], false],
    ["StringNotEquals", "one", ["x", "y"], true],
    ["StringEquals", absent, "x", false],
    ["StringNotEquals", absent, "x", true],
    ["StringEqualsIfExists", absent, "x", true],
    ["StringEqualsIfExists", "one", "x", false],
    ["ForAllValues:StringEquals", "many", ["a", "b", "c"], true],
    ["ForAllValues:StringEquals", "many", ["a"], false],
    ["ForAllValues:StringEquals", absent, ["a"], true],
    ["ForAnyValue:StringEquals", "many", ["b", "z"], true],
    ["ForAnyValue:StringEquals", absent, ["b"], false],
    ["ForAnyValue:StringNotEquals", "many", ["a"], true],
    ["ForAllValues:StringNotEquals", "many", ["a"], false],
    ["ForAnyValue:StringNotEquals", absent, ["a"], false],
    ["StringNotEquals", "many", ["a"], false],
    ["Null", absent, "true", true],
    ["Null", absent, "false", false],
    ["Null", "one", "false", true],
    ["Bool", "flag", true, true],
    ["Bool", "flag", "false", false],
    ["Bool", absent, "false", false],
    ["NumericEquals", "number", "10.0", true],
    ["NumericNotEquals", "number", "10", false],
    ["NumericLessThan", "number", 10, false],
    ["NumericLessThanEquals", "number", 10, true],
    ["NumericGreaterThan", "number", 9, true],
    ["NumericGreaterThanEquals", "number", 11, false],
    ["NumericEquals", "one", "10", false],
    ["NumericLessThan", "number", "", false],
    ["DateLessThan", "date", "2026-03-01T12:00:01Z", true],
    ["DateGreaterThanEquals", "date", "1772366400", true],
    ["DateGreaterThan", "date", "1772366400", false],
    ["DateEquals", "date", "not a date", false],
    ["ArnLike", "arn", "arn:aws:iam::*:role/a/*", true],
    ["ArnEquals", "arn", "arn:*:iam::111122223333:role/a/b:c", true],
    ["ArnLike", "arn", "arn:aws:*", false],
    ["ArnNotLike", "arn", "arn:aws:iam::111122223333:role/*", false],
    ["ArnLike", "one", "*", false],
  ] as const)("%s %s against %o → %s", (written, key, value, expected) => {
    const operator = readOperator(written) ?? expect.unreachable();
    const values = [value].flat().map(String);
    expect(conditionHolds({ written, ...operator, key, values }, context, undefined)).toBe(expected);
  });

  test.each(["IpAddress", "BinaryEquals", "NullIfExists", "StringEqual", "ForEachValue:StringEquals", "toString", ""])(
    "%s is not an operator here",
    (written) => expect(readOperator(written)).toBeUndefined(),
  );
});

describe("patterns", () => {
  const all = { wildcards: true, ignoreCase: false } as const;
  test.each([
    ["", "", true],
    ["*", "", true],
    ["?", "", false],
    ["a*c", "abbbc", true],
    ["a*c*", "acb", true],
    ["a*b*c", "aXbYbZc", true],
    ["*a", "ab", false],
    ["a.c", "abc", false],
    ["**?", "é", true],
  ])("%s on %s → %s", (pattern, value, expected) => expect(matchesPattern(pattern, value, all)).toBe(expected));

  test("what a variable stands for is literal", () => {
    const options = { ...all, variables: (key: string) => (key === "name" ? "a*" : undefined) };
    expect(matchesPattern(`x/${variable("name")}`, "x/a*", options)).toBe(true);
    expect(matchesPattern(`x/${variable("name")}`, "x/ab", options)).toBe(false);
    expect(matchesPattern(`x/${variable("other, 'y'")}`, "x/y", options)).toBe(true);
    expect(matchesPattern(`x/${variable("other")}`, "x/", options)).toBe(false);
    expect(matchesPattern(variable("*"), "anything", options)).toBe(false);
  });

  test("a pattern made to take long does not", () => {
    // Tried in every way it would outlast the universe, not only this test's time.
    expect(matchesPattern(`${"*a".repeat(50)}b`, "a".repeat(5000), all)).toBe(false);
  });
});
