/** What is not a policy, what is not a principal, and which condition keys exist. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { knownConditionKeys } from "../../../mock/aws/iam/condition-keys.ts";
import { PolicyRefusal, parsePolicy } from "../../../mock/aws/iam/policy.ts";
import { principalArnOf, readPrincipal } from "../../../mock/aws/iam/principal.ts";
import { hasVectors } from "../../vectors.ts";

const isKnown = knownConditionKeys("kms");
const keyPolicy = { kind: "resource", knownConditionKeys: isKnown } as const;
const statement = { Effect: "Allow", Principal: "*", Action: "kms:*", Resource: "*" };
const text = (change: object = {}, document: object = {}): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ ...statement, ...change }], ...document });
const when = (operator: string, key: string, value: unknown): string =>
  text({ Condition: { [operator]: { [key]: value } } });
const padded = (bytes: number): string => text().padEnd(bytes, " ");

describe("parsePolicy", () => {
  test.each([
    ["32 KB", padded(32_768)],
    ["a template key", when("StringEquals", "kms:EncryptionContext:a b", "x")],
    ["a key in another case", when("ForAnyValue:StringLike", "AWS:tagkeys", ["x"])],
    ["an identity provider's key", when("StringEquals", "cognito-identity.amazonaws.com:aud", "x")],
    ["a variable as truth", when("Bool", "aws:SecureTransport", `$\{aws:SecureTransport}`)],
    ["version 2008-10-17", text({}, { Version: "2008-10-17" })],
    ["no Version", text({}, { Version: undefined })],
    ["one statement without a list", text({}, { Statement: statement })],
  ])("K27: takes %s", (_why, policy) => {
    expect(parsePolicy(policy, keyPolicy).statements).toHaveLength(1);
  });

  test.each([
    ["32 KB and a byte", padded(32_769)],
    ["32 KB in longer characters", text({ Sid: "é".repeat(16_384) })],
    ["what is not JSON", text().slice(1)],
    ["a name that stands twice", text().replace('"Effect"', '"Effect":"Deny","Effect"')],
    ["another Version", text({}, { Version: "2012-10-18" })],
    ["a Version that is nothing", text({}, { Version: null })],
    ["no statements", text({}, { Statement: [] })],
    ["an unknown element", text({ Actions: "kms:*" })],
    ["an unknown operator", when("StringMatches", "aws:userid", "x")],
    ["an unknown kms: key", when("StringEquals", "kms:RecipientAttestation", "x")],
    ["PCR32", when("StringEquals", "kms:RecipientAttestation:PCR32", "x")],
    ["an unknown global key", when("StringEquals", "aws:PrincipalName", "x")],
    ["a template key with nothing after it", when("StringEquals", "aws:PrincipalTag/", "x")],
    ["another service's key", when("StringEquals", "s3:prefix", "x")],
    ["a range that is none", when("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "10.0.0.0/33"])],
    ["a time that is none", when("DateLessThan", "aws:CurrentTime", "soon")],
    ["a condition without values", when("StringNotEquals", "aws:userid", [])],
    ["CanonicalUser", text({ Principal: { CanonicalUser: "a".repeat(64) } })],
    ["a wildcard inside an ARN", text({ Principal: { AWS: "arn:aws:iam::111122223333:role/*" } })],
    ["a principal map with nothing in it", text({ Principal: {} })],
  ])("K27: refuses %s", (_why, policy) => {
    expect(() => parsePolicy(policy, keyPolicy)).toThrow(PolicyRefusal);
  });

  test("K27: any key may stand where no list of keys is given", () => {
    expect(parsePolicy(when("StringEquals", "s3:prefix", "x"), "resource").statements).toHaveLength(1);
  });

  test("K27: 32 KB made to be slow is refused or read at once", () => {
    const open = '{"Version":"2012-10-17","Statement":';
    const hostile = [
      "[".repeat(32_000),
      `${open}${'{"Condition":'.repeat(2_000)}`,
      when("A".repeat(32_000), "aws:userid", "x"),
      when("StringLike", `${"a.".repeat(16_000)}!`, "x"),
      when("StringLike", `a.b${"/".repeat(32_000)}`, "x"),
      text({ Principal: { AWS: `arn:aws:iam::111122223333:role/${"a/".repeat(16_000)}*` } }),
      text({ Principal: { Service: `${"a-".repeat(15_000)}_` } }),
      `${open}[${JSON.stringify(statement)},${"{},".repeat(10_000)}]}`,
      when("NumericEquals", "kms:RotationPeriodInDays", `${"1".repeat(32_000)}x`),
      when("IpAddress", "aws:SourceIp", "1.".repeat(16_000)),
    ];
    const started = performance.now();
    for (const policy of hostile) expect(() => parsePolicy(policy, keyPolicy)).toThrow(PolicyRefusal);
    // Each takes about a millisecond; anything quadratic in 32 KB takes longer than all of this.
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe("principals", () => {
  const account = "111122223333";
  test.each([
    ["AWS", "*", "everyone"],
    ["AWS", account, "account"],
    ["AWS", `arn:aws-us-gov:iam::${account}:root`, "account"],
    ["AWS", `arn:aws:iam::${account}:user/a/b/ann`, "arn"],
    ["AWS", `arn:aws-cn:iam::${account}:role/aws-service-role/x.amazonaws.com/R`, "arn"],
    ["AWS", `arn:aws:sts::${account}:assumed-role/data/i-0abc`, "arn"],
    ["AWS", `arn:aws:sts::${account}:federated-user/ann`, "arn"],
    ["AWS", "AIDA234567ABCDEFGHIJ", "id"],
    ["Service", "logs.eu-central-1.amazonaws.com", "service"],
    ["Federated", "cognito-identity.amazonaws.com", "federated"],
    ["Federated", `arn:aws:iam::${account}:saml-provider/Corp`, "federated"],
    ["Federated", `arn:aws:iam::${account}:oidc-provider/oidc.example.com/id/ABC`, "federated"],
  ])("K25: %s %s is %s", (type, value, kind) => expect(readPrincipal(type, value)?.kind).toBe(kind));

  test.each([
    ["AWS", ""],
    ["AWS", "11112222333"],
    ["AWS", `${account}:root`],
    ["AWS", `arn:aws:iam::${account}`],
    ["AWS", `arn:aws-iso:iam::${account}:root`],
    ["AWS", `arn:aws:iam::${account}:group/g`],
    ["AWS", `arn:aws:iam::${account}:role/`],
    ["AWS", `arn:aws:iam::${account}:role//x`],
    ["AWS", `arn:aws:iam::${account}:user/a?`],
    ["AWS", `arn:aws:sts::${account}:assumed-role/data/*`],
    ["AWS", `arn:aws:sts::${account}:assumed-role/data`],
    ["AWS", `arn:aws:iam::${account}:saml-provider/Corp`],
    ["AWS", "AGPA234567ABCDEFGHIJ"],
    ["Service", "*"],
    ["Service", "logs"],
    ["Federated", "*"],
    ["CanonicalUser", "a".repeat(64)],
    ["aws", account],
  ])("K25: %s %s is no principal", (type, value) => expect(readPrincipal(type, value)).toBeUndefined());

  test("a session exists by its role", () => {
    expect(principalArnOf("arn:aws-cn:sts::111122223333:assumed-role/data/s")).toBe(
      "arn:aws-cn:iam::111122223333:role/data",
    );
    expect(principalArnOf("arn:aws:iam::111122223333:user/ann")).toBe("arn:aws:iam::111122223333:user/ann");
  });
});

test.skipIf(!hasVectors)("every key of AWS's table for KMS is known (skipped without CLOISTER_VECTORS)", () => {
  const root = process.env["CLOISTER_VECTORS"] ?? "../shared/vectors";
  const lines = readFileSync(join(root, "aws/kms-condition-keys-by-action.txt"), "utf8").split("\n");
  const keys = lines.filter((line) => /^(kms|aws):/.test(line)).map((line) => line.split(" | ")[0] ?? "");
  expect(keys).toHaveLength(98);
  expect(keys.map((key) => key.replace(/\$\{\w+\}/, "any")).filter((key) => !isKnown(key))).toEqual([]);
});
