/** The IAM evaluator by itself: each row is one policy question with the answer IAM gives. */
import { describe, expect, test } from "vitest";
import { authorize } from "../../../mock/aws/iam/authorize.ts";
import { PolicyRefusal, parsePolicy } from "../../../mock/aws/iam/policy.ts";
import type { Caller } from "../../../mock/aws/iam/principal.ts";

const OWNER = "111122223333";
const OTHER = "444455556666";
const KEY = `arn:aws:kms:eu-central-1:${OWNER}:key/11111111-2222-4333-8444-555555555555`;
const ROLE = `arn:aws:iam::${OWNER}:role/data`;
const SESSION = `arn:aws:sts::${OWNER}:assumed-role/data/i-0abc`;
const ROOT = `arn:aws:iam::${OWNER}:root`;
const PCR0 = "ab".repeat(48);
const PCR8 = "cd".repeat(48);
const R = "kms:RecipientAttestation:";

const session: Caller = {
  ...{ accountId: OWNER, type: "role", name: "data", principalArn: ROLE, arn: SESSION, accessKeyId: "ASIAX" },
  ...{ partition: "aws", userId: "AROAX:i-0abc", context: new Map() },
};
const user: Caller = {
  ...{ accountId: OWNER, type: "user", name: "ann", accessKeyId: "AKIAX" },
  ...{ partition: "aws", userId: "AIDAX", context: new Map() },
  ...{ principalArn: `arn:aws:iam::${OWNER}:user/ann`, arn: `arn:aws:iam::${OWNER}:user/ann` },
};
const foreign: Caller = {
  ...{ accountId: OTHER, type: "role", name: "data", accessKeyId: "ASIAY" },
  ...{ partition: "aws", userId: "AROAY:s", context: new Map() },
  ...{ principalArn: `arn:aws:iam::${OTHER}:role/data`, arn: `arn:aws:sts::${OTHER}:assumed-role/data/s` },
};

const attested = { [`${R}ImageSha384`]: PCR0, [`${R}PCR0`]: PCR0, [`${R}PCR8`]: PCR8 };
const statement = (change: object = {}): object => ({
  ...{ Effect: "Allow", Principal: { AWS: ROLE }, Action: "kms:Decrypt", Resource: "*" },
  ...change,
});
const when = (operator: string, key: string, value: unknown): object => ({
  Condition: { [operator]: { [key]: value } },
});
const allowAll = { Effect: "Allow", Action: "kms:*", Resource: "*" };
const delegation = statement({ Principal: { AWS: ROOT }, Action: "kms:*" });
const text = (statements: readonly object[]): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: statements });

/** `${name}`, as policies write it. */
const variable = (name: string): string => `$\{${name}}`;

interface Question {
  readonly caller?: Caller;
  readonly key: readonly object[];
  readonly identity?: readonly object[];
  readonly context?: Readonly<Record<string, string | readonly string[]>>;
  readonly action?: string;
}

function ask({ caller = session, key, identity = [], context = {}, action = "kms:Decrypt" }: Question) {
  const pairs = Object.entries(context).map(([name, value]) => [name.toLowerCase(), [value].flat()] as const);
  return authorize(
    { caller, action, resource: KEY, context: new Map(pairs) },
    {
      identityPolicies:
        identity.length > 0 ? [{ name: "identity policy", policy: parsePolicy(text(identity), "identity") }] : [],
      resourcePolicy: { name: "key policy", policy: parsePolicy(text(key), "resource"), accountId: OWNER },
    },
  );
}

type Row = readonly [why: string, question: Question, outcome: "allowed" | "implicit deny" | "explicit deny"];

const denyUnlessAttested = (operator: string): object =>
  statement({ Effect: "Deny", Principal: "*", ...when(operator, `${R}ImageSha384`, PCR0) });

const attestation: readonly Row[] = [
  [
    "K19: no condition key without a document",
    { key: [statement(when("StringEqualsIgnoreCase", `${R}PCR0`, PCR0))] },
    "implicit deny",
  ],
  [
    "K19: the same with a document",
    { key: [statement(when("StringEqualsIgnoreCase", `${R}PCR0`, PCR0))], context: attested },
    "allowed",
  ],
  [
    "K20: IgnoreCase takes upper case",
    { key: [statement(when("StringEqualsIgnoreCase", `${R}PCR0`, PCR0.toUpperCase()))], context: attested },
    "allowed",
  ],
  [
    "K20: StringEquals does not",
    { key: [statement(when("StringEquals", `${R}PCR0`, PCR0.toUpperCase()))], context: attested },
    "implicit deny",
  ],
  [
    "K20: several values are alternatives",
    { key: [statement(when("StringEquals", `${R}PCR0`, [PCR8, PCR0]))], context: attested },
    "allowed",
  ],
  [
    "K20: a 0x prefix matches nothing",
    { key: [statement(when("StringEqualsIgnoreCase", `${R}PCR0`, `0x${PCR0}`))], context: attested },
    "implicit deny",
  ],
  [
    "K21: IfExists on an Allow is a hole",
    { key: [statement(when("StringEqualsIfExists", `${R}PCR0`, PCR0))] },
    "allowed",
  ],
  [
    "K21: a negated operator holds without the key",
    { key: [statement(when("StringNotEquals", `${R}PCR0`, PCR8))] },
    "allowed",
  ],
  ["K22: Deny beats Allow", { key: [statement(), statement({ Effect: "Deny" })] }, "explicit deny"],
  [
    "K22: Deny unless attested, not attested",
    { key: [statement(), denyUnlessAttested("StringNotEqualsIgnoreCase")] },
    "explicit deny",
  ],
  [
    "K22: Deny unless attested, attested",
    { key: [statement(), denyUnlessAttested("StringNotEqualsIgnoreCase")], context: attested },
    "allowed",
  ],
  [
    "K22: Deny on Null",
    { key: [statement(), statement({ Effect: "Deny", ...when("Null", `${R}PCR0`, "true") })] },
    "explicit deny",
  ],
  [
    "K22: two halves make no whole",
    {
      key: [
        statement({ ...when("StringEquals", `${R}PCR0`, PCR0), Action: "kms:Encrypt" }),
        statement(when("StringEquals", `${R}PCR0`, PCR8)),
      ],
      context: attested,
    },
    "implicit deny",
  ],
  [
    "K22: all conditions must hold",
    {
      key: [statement({ Condition: { StringEquals: { [`${R}PCR0`]: PCR0, [`${R}PCR8`]: PCR0 } } })],
      context: attested,
    },
    "implicit deny",
  ],
  [
    "K23: a register that is not in the document",
    { key: [statement(when("StringEquals", `${R}PCR16`, "00".repeat(48)))], context: attested },
    "implicit deny",
  ],
  [
    "K23: no register is numbered 32",
    { key: [statement(when("StringEquals", `${R}PCR32`, PCR0))], context: attested },
    "implicit deny",
  ],
  [
    "K24: a NitroTPM condition with an enclave's document",
    { key: [statement(when("StringEquals", `${R}NitroTPMPCR0`, PCR0))], context: attested },
    "implicit deny",
  ],
];

const principals: readonly Row[] = [
  ["role ARN reaches its sessions", { key: [statement()] }, "allowed"],
  ["session ARN reaches that session", { key: [statement({ Principal: { AWS: SESSION } })] }, "allowed"],
  ["another session's ARN does not", { key: [statement({ Principal: { AWS: `${SESSION}x` } })] }, "implicit deny"],
  ["a user by its ARN", { caller: user, key: [statement({ Principal: { AWS: user.arn } })] }, "allowed"],
  ["everyone, as a word", { key: [statement({ Principal: "*" })] }, "allowed"],
  ["everyone, under AWS", { key: [statement({ Principal: { AWS: ["*"] } })] }, "allowed"],
  ["a service is no caller", { key: [statement({ Principal: { Service: "logs.amazonaws.com" } })] }, "implicit deny"],
  [
    "another account's role of the same name",
    { caller: foreign, identity: [allowAll], key: [statement()] },
    "implicit deny",
  ],
  ["K29: account root delegates to IAM", { key: [delegation], identity: [allowAll] }, "allowed"],
  [
    "K29: … past an attested statement",
    { key: [delegation, statement(when("StringEquals", `${R}PCR0`, PCR0))], identity: [allowAll] },
    "allowed",
  ],
  ["delegation without IAM gives nothing", { key: [delegation] }, "implicit deny"],
  [
    "IAM without delegation gives nothing",
    { key: [statement({ Action: "kms:Encrypt" })], identity: [allowAll] },
    "implicit deny",
  ],
  [
    "account id is the account root",
    { key: [statement({ Principal: { AWS: OWNER } })], identity: [allowAll] },
    "allowed",
  ],
  [
    "a Deny to the account reaches all in it",
    { key: [statement(), statement({ Effect: "Deny", Principal: { AWS: ROOT } })] },
    "explicit deny",
  ],
  [
    "an IAM Deny beats a direct Allow",
    { key: [statement()], identity: [{ ...allowAll, Effect: "Deny" }] },
    "explicit deny",
  ],
  [
    "K25: other account, both sides allow",
    { caller: foreign, key: [statement({ Principal: { AWS: foreign.principalArn } })], identity: [allowAll] },
    "allowed",
  ],
  [
    "K25: other account, only the key's side",
    { caller: foreign, key: [statement({ Principal: "*" })] },
    "implicit deny",
  ],
  [
    "K25: other account by its root",
    { caller: foreign, key: [statement({ Principal: { AWS: OTHER } })], identity: [allowAll] },
    "allowed",
  ],
  [
    "NotPrincipal Deny reaches others",
    { key: [statement(), statement({ Effect: "Deny", Principal: undefined, NotPrincipal: { AWS: user.arn } })] },
    "explicit deny",
  ],
  [
    "NotPrincipal Deny that names the role only",
    { key: [statement(), statement({ Effect: "Deny", Principal: undefined, NotPrincipal: { AWS: ROLE } })] },
    "explicit deny",
  ],
  [
    "K25: NotPrincipal Deny that names account and role, not the session",
    { key: [statement(), statement({ Effect: "Deny", Principal: undefined, NotPrincipal: { AWS: [ROLE, ROOT] } })] },
    "explicit deny",
  ],
  [
    "NotPrincipal Deny that names every level",
    {
      key: [
        statement(),
        statement({ Effect: "Deny", Principal: undefined, NotPrincipal: { AWS: [SESSION, ROLE, ROOT] } }),
      ],
    },
    "allowed",
  ],
  [
    "NotPrincipal Allow passes over the named",
    { key: [statement({ Principal: undefined, NotPrincipal: { AWS: ROLE } })] },
    "implicit deny",
  ],
  [
    "NotPrincipal Allow reaches others",
    { caller: user, key: [statement({ Principal: undefined, NotPrincipal: { AWS: ROLE } })] },
    "allowed",
  ],
];

const elements: readonly Row[] = [
  ["Action wildcard", { key: [statement({ Action: "kms:De*" })] }, "allowed"],
  ["Action without case", { key: [statement({ Action: "KMS:decrypt" })] }, "allowed"],
  ["Action ?", { key: [statement({ Action: "kms:Decryp?" })] }, "allowed"],
  ["another service's action", { key: [statement({ Action: "s3:*" })] }, "implicit deny"],
  ["NotAction that names it", { key: [statement({ Action: undefined, NotAction: "kms:D*" })] }, "implicit deny"],
  ["NotAction that does not", { key: [statement({ Action: undefined, NotAction: "kms:Put*" })] }, "allowed"],
  ["Resource by ARN", { key: [statement({ Resource: KEY })] }, "allowed"],
  ["Resource of another key", { key: [statement({ Resource: `${KEY}0` })] }, "implicit deny"],
  ["NotResource", { key: [statement({ Resource: undefined, NotResource: KEY })] }, "implicit deny"],
  ["a key policy without Resource is taken and idle", { key: [statement({ Resource: undefined })] }, "implicit deny"],
  ["a key policy without Action is taken and idle", { key: [statement({ Action: undefined })] }, "implicit deny"],
  [
    "IAM resource of another key",
    { key: [delegation], identity: [{ ...allowAll, Resource: `${KEY}0` }] },
    "implicit deny",
  ],
  [
    "variable that fits",
    {
      key: [statement(when("StringEquals", "kms:EncryptionContext:role", variable("aws:PrincipalArn")))],
      context: { "aws:PrincipalArn": ROLE, "kms:EncryptionContext:role": ROLE },
    },
    "allowed",
  ],
  [
    "variable without a value fits nothing",
    {
      key: [statement(when("StringLike", "kms:CallerAccount", variable("aws:username")))],
      context: { "kms:CallerAccount": OWNER },
    },
    "implicit deny",
  ],
];

describe("authorize", () => {
  test.each([...attestation, ...principals, ...elements])("%s", (_why, question, outcome) => {
    expect(ask(question).outcome).toBe(outcome);
  });

  test("K29: AWS's clause names the side that lacks an Allow", () => {
    expect(ask({ key: [delegation] }).because).toBe("because no identity-based policy allows the kms:Decrypt action");
    expect(ask({ key: [statement({ Effect: "Deny" })] }).because).toBe(
      "with an explicit deny in a resource-based policy",
    );
    expect(ask({ key: [statement()], identity: [{ ...allowAll, Effect: "Deny" }] }).because).toBe(
      "with an explicit deny in an identity-based policy",
    );
  });

  test("a denial says which Allow came closest, and what it wanted and got", () => {
    const near = statement({
      Sid: "attested",
      Condition: { StringEquals: { [`${R}PCR0`]: PCR8, [`${R}PCR3`]: PCR0 } },
    });
    const decision = ask({ key: [delegation, statement({ Action: "kms:Sign" }), near], context: attested });
    expect(decision.nearest).toEqual({
      ...{ policy: "key policy", statement: 2, sid: "attested", stoppedAt: "condition" },
      failed: [
        { operator: "StringEquals", key: `${R}PCR0`, expected: [PCR8], actual: [PCR0] },
        { operator: "StringEquals", key: `${R}PCR3`, expected: [PCR0], actual: "absent" },
      ],
    });
    expect(decision.summary).toContain(`wants ${PCR8}, the request says ${PCR0}`);
  });

  test("a decision names the statements that made it", () => {
    expect(ask({ key: [delegation], identity: [allowAll] }).decidedBy).toEqual([
      { policy: "key policy", statement: 0 },
      { policy: "identity policy", statement: 0 },
    ]);
  });
});

test.each([
  ["a principal in an identity policy", statement(), "identity"],
  ["an identity policy without Resource", { ...allowAll, Resource: undefined }, "identity"],
  ["both Action and NotAction", statement({ NotAction: "kms:*" }), "resource"],
  ["both Principal and NotPrincipal", statement({ NotPrincipal: "*" }), "resource"],
  ["an empty list of actions", statement({ Action: [] }), "resource"],
  ["an Effect in lower case", statement({ Effect: "allow" }), "resource"],
  ["an action without a service", statement({ Action: "Decrypt" }), "resource"],
  ["a principal type of no kind", statement({ Principal: { Aws: ROLE } }), "resource"],
  ["a condition value that is an object", statement(when("StringEquals", "a", {})), "resource"],
] as const)("parsePolicy refuses %s", (_why, broken, kind) => {
  expect(() => parsePolicy(text([broken]), kind)).toThrow(PolicyRefusal);
});
