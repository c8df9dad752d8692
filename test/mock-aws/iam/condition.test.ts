/** The parts of a policy's conditions by themselves: operators on values, and patterns. */
import { describe, expect, test } from "vitest";
import { acceptsValue, conditionHolds, readOperator } from "../../../mock/aws/iam/condition.ts";
import { matchesPattern } from "../../../mock/aws/iam/pattern.ts";

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
    ["ip", ["10.20.30.40"]],
    ["ip6", ["2001:db8::7"]],
    ["mapped", ["::ffff:10.20.30.40"]],
    ["bytes", ["AQID"]],
    ["empty", [""]],
    ["name", ["ann"]],
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
    ["IpAddress", "ip", "10.20.0.0/16", true],
    ["IpAddress", "ip", "10.20.30.40", true],
    ["IpAddress", "ip", "10.20.30.41/31", true],
    ["IpAddress", "ip", "10.20.30.41", false],
    ["IpAddress", "ip", "0.0.0.0/0", true],
    ["IpAddress", "ip", "::/0", false],
    ["IpAddress", "ip6", "2001:DB8::/32", true],
    ["IpAddress", "ip6", "2001:db8::/126", false],
    ["IpAddress", "ip6", "2001:db8:0:0:0:0:0:7", true],
    ["IpAddress", "ip6", "0.0.0.0/0", false],
    ["IpAddress", "mapped", "10.0.0.0/8", false],
    ["IpAddress", "mapped", "::ffff:0a14:1e28", true],
    ["IpAddress", "one", "0.0.0.0/0", false],
    ["NotIpAddress", "ip", ["10.0.0.0/8", "192.168.0.0/16"], false],
    ["NotIpAddress", "ip", "192.168.0.0/16", true],
    ["NotIpAddress", absent, "10.0.0.0/8", true],
    ["BinaryEquals", "bytes", "AQID", true],
    ["BinaryEquals", "bytes", "AQIE", false],
    ["BinaryEqualsIfExists", absent, "AQID", true],
    ["ForAnyValue:StringEqualsIfExists", absent, "a", true],
    ["ForAllValues:StringEquals", "empty", "a", true],
    ["ForAnyValue:StringEquals", "empty", "", false],
    ["StringEquals", "empty", "", true],
    ["Null", "empty", "false", true],
    ["NumericEquals", "number", "0xa", false],
    ["NumericEquals", "number", "1e1", false],
    ["DateEquals", "date", "2026-03-01T13:00:00+01:00", true],
    ["DateGreaterThan", "date", "2026", true],
    ["DateGreaterThan", "date", "2026-03-01", true],
    ["DateLessThan", "date", "2027-01-01T00:00:00", false],
    ["ArnEquals", "arn", `arn:aws:iam::111122223333:role/${variable("many, 'a'")}/b:c`, true],
    ["StringEquals", "name", variable("NAME"), true],
    ["StringNotEquals", "one", variable("none"), false],
    ["StringNotEqualsIfExists", "one", ["x", variable("many")], false],
    ["Bool", "flag", variable("flag"), true],
    ["NumericEquals", "number", variable("number"), false],
  ] as const)("%s %s against %o → %s", (written, key, value, expected) => {
    const operator = readOperator(written) ?? expect.unreachable();
    const values = [value].flat().map(String);
    const lookup = (name: string): string | undefined => {
      const found = context.get(name.toLowerCase()) ?? [];
      return found.length === 1 ? found[0] : undefined;
    };
    expect(conditionHolds({ written, ...operator, key, values }, context, lookup)).toBe(expected);
  });

  test.each([
    ["IpAddress", ["10.0.0.0/33", "10.0.0", "010.0.0.1", "10.0.0.0/08", "10.0.0.0/", "fe80::1%eth0", "::/129", "*"]],
    ["NumericEquals", ["", "x", "0x1", "1e3", " 1", variable("n")]],
    ["DateLessThan", ["", "soon", "2026-03-01T12:00", "2026-13-01", "03/01/2026"]],
    ["Bool", ["yes", "1", ""]],
    ["Null", ["maybe", variable("n")]],
    ["BinaryEquals", ["A", "AQI", "AQJ=", "%"]],
  ] as const)("%s takes none of %o", (operator, values) => {
    for (const value of values) expect(acceptsValue(operator, value), value).toBe(false);
  });

  test.each([
    ...["NullIfExists", "ForAnyValue:Null", "StringEqual", "ForEachValue:StringEquals", "toString", ""],
    ...["BoolNot", "BinaryNotEquals", "NotIpAddressIf", "NumericNotLessThan", "stringequals"],
  ])("K27: %s is not an operator", (written) => expect(readOperator(written)).toBeUndefined());
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

  test("version 2008-10-17 has no variables, and its wildcards are wildcards everywhere", () => {
    expect(matchesPattern(`x${variable("*")}`, `x$\{anything}`, all)).toBe(true);
    expect(matchesPattern(variable("name"), variable("name"), all)).toBe(true);
  });

  test("a brace that nothing closes is text", () => {
    const options = { ...all, variables: () => "v" };
    expect(matchesPattern("${a", "${a", options)).toBe(true);
    expect(matchesPattern(`${variable("a")}\${*`, "v${b", options)).toBe(true);
  });

  test("a pattern of open braces does not take long either", () => {
    const options = { ...all, variables: () => undefined };
    expect(matchesPattern("${".repeat(16_000), "x", options)).toBe(false);
  });

  test("a pattern made to take long does not", () => {
    // Tried in every way it would outlast the universe, not only this test's time.
    expect(matchesPattern(`${"*a".repeat(50)}b`, "a".repeat(5000), all)).toBe(false);
  });
});
