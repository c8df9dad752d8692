/** Key policies: what is taken, who is let at a key by them, and attested conditions. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import {
  arnOf,
  attestedStatement,
  keyPolicy,
  OTHER,
  OWNER,
  PCR0,
  recipientOf,
  rsaPair,
  type Who,
  ZERO,
} from "../testbed.ts";
import { bedOfFile, outcome, refusal } from "./bed.ts";

const { admin, as, bare, newKey } = bedOfFile();
const Plaintext = utf8("x");
const allowing = (principal: object, more: object = {}) => ({
  ...{ Effect: "Allow", Principal: principal, Action: "kms:*", Resource: "*" },
  ...more,
});

describe("what a key policy may be", () => {
  const lockedOut = {
    name: "MalformedPolicyDocumentException",
    message: "The new key policy will not allow you to update the key policy in the future.",
  };
  const onlyEnclave = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: { AWS: arnOf("enclave") }, Action: "kms:Decrypt", Resource: "*" }],
  });

  test("K26: one that locks its author out is refused, unless the request says so", async () => {
    expect(await refusal(admin().createKey({ Policy: onlyEnclave }))).toEqual(lockedOut);
    const KeyId = await newKey();
    const put = { KeyId, Policy: onlyEnclave };
    expect(await refusal(admin().putKeyPolicy(put))).toEqual(lockedOut);
    await admin().putKeyPolicy({ ...put, BypassPolicyLockoutSafetyCheck: true });
    const denied = await refusal(admin().getKeyPolicy({ KeyId }));
    expect(denied.message).toContain("because no resource-based policy allows the kms:GetKeyPolicy action");
  });

  test("K26: the account's root is no way out for who has no permission of its own", async () => {
    const puts = keyPolicy(allowing({ AWS: arnOf("bare") }, { Action: ["kms:PutKeyPolicy", "kms:GetKeyPolicy"] }));
    const KeyId = await newKey({ Policy: puts });
    expect(await refusal(bare().putKeyPolicy({ KeyId, Policy: keyPolicy() }))).toEqual(lockedOut);
    await bare().putKeyPolicy({ KeyId, Policy: puts });
  });

  test("K26: who may bypass the check can be a policy's condition", async () => {
    const noBypass = { Bool: { "kms:BypassPolicyLockoutSafetyCheck": "true" } };
    const deny = { ...allowing({ AWS: "*" }, { Condition: noBypass }), Effect: "Deny", Action: "kms:PutKeyPolicy" };
    const Policy = keyPolicy(deny);
    const KeyId = await newKey({ Policy });
    const bypassing = admin().putKeyPolicy({ KeyId, Policy, BypassPolicyLockoutSafetyCheck: true });
    expect(await outcome(bypassing)).toBe("AccessDeniedException");
    await admin().putKeyPolicy({ KeyId, Policy });
  });

  const valid = JSON.parse(keyPolicy()) as { Statement: object[] };
  /** Beside a statement that is good, so that nobody is locked out. */
  const withStatement = (change: object): string =>
    JSON.stringify({ ...valid, Statement: [valid.Statement[0], { ...valid.Statement[0], ...change }] });
  test.each([
    ["not JSON", "{"],
    ["a name twice", '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}'],
    ["another Version", JSON.stringify({ ...valid, Version: "2012-10-18" })],
    ["an unknown element", withStatement({ Resources: "*" })],
    ["an unknown operator", withStatement({ Condition: { StringSame: { "aws:userid": "b" } } })],
    ["an unknown condition key", withStatement({ Condition: { StringEquals: { "kms:Recipient": "b" } } })],
    [
      "a register that is none",
      withStatement({ Condition: { StringEquals: { "kms:RecipientAttestation:PCR32": "b" } } }),
    ],
    ["another service's condition key", withStatement({ Condition: { StringEquals: { "s3:prefix": "b" } } })],
    ["no principal", withStatement({ Principal: undefined })],
    ["a wildcard in an ARN", withStatement({ Principal: { AWS: `arn:aws:iam::${OWNER}:role/*` } })],
    ["a role that is not there", withStatement({ Principal: { AWS: `arn:aws:iam::${OWNER}:role/x` } })],
    ["an account that is not there", withStatement({ Principal: { AWS: "999999999999" } })],
    ["more than 32 KiB", withStatement({ Sid: "x".repeat(32_768) })],
  ])("K27: %s", async (_why, Policy) => {
    const KeyId = await newKey();
    expect(await outcome(admin().putKeyPolicy({ KeyId, Policy }))).toBe("MalformedPolicyDocumentException");
    expect(await outcome(admin().createKey({ Policy }))).toBe("MalformedPolicyDocumentException");
  });

  test("K27: taken are exactly 32 KiB, federated users, an empty statement, and keys of every global kind", async () => {
    const KeyId = await newKey();
    const Policy = keyPolicy(
      { Effect: "Deny", Principal: "*", Action: "kms:Sign" },
      allowing({ AWS: `arn:aws:sts::${OTHER}:federated-user/guest` }),
      allowing(
        { AWS: "*" },
        { Condition: { StringEquals: { "aws:PrincipalOrgID": "o-1", "aws:PrincipalTag/a": "b" } } },
      ),
    );
    await admin().putKeyPolicy({ KeyId, Policy: Policy + " ".repeat(32_768 - Policy.length) });
    expect((await admin().listKeyPolicies({ KeyId })).PolicyNames).toEqual(["default"]);
    expect(await outcome(admin().getKeyPolicy({ KeyId, PolicyName: "other" }))).toBe("NotFoundException");
  });
});

describe("attested conditions", () => {
  const R = "kms:RecipientAttestation:";
  const pair = rsaPair();
  const ask = (KeyId: string, pcrs?: Record<number, string>) =>
    outcome(
      as("enclave").generateDataKey({
        ...{ KeyId, KeySpec: "AES_256" },
        ...(pcrs ? { Recipient: recipientOf(pair, { pcrs }) } : {}),
      }),
    );
  const upper = PCR0.toUpperCase();
  const match = { StringEqualsIgnoreCase: { [`${R}ImageSha384`]: PCR0 } };
  const deny = (Condition: object) => ({
    ...allowing({ AWS: arnOf("enclave") }, { Condition }),
    ...{ Effect: "Deny", Action: "kms:GenerateDataKey" },
  });
  const free = allowing({ AWS: arnOf("enclave") }, { Action: "kms:GenerateDataKey" });
  test.each([
    [
      "K20: any case",
      attestedStatement("enclave", { StringEqualsIgnoreCase: { [`${R}PCR0`]: upper } }),
      { 0: PCR0 },
      "ok",
    ],
    [
      "K20: an exact comparison",
      attestedStatement("enclave", { StringEquals: { [`${R}PCR0`]: upper } }),
      { 0: PCR0 },
      "no",
    ],
    [
      "K21: IfExists without a document",
      attestedStatement("enclave", { StringEqualsIfExists: { [`${R}PCR0`]: PCR0 } }),
      undefined,
      "ok",
    ],
    [
      "K21: a negation without a document",
      attestedStatement("enclave", { StringNotEquals: { [`${R}PCR0`]: ZERO } }),
      undefined,
      "ok",
    ],
    [
      "K22: Deny unless attested, attested",
      [free, deny({ StringNotEqualsIgnoreCase: { [`${R}PCR0`]: PCR0 } })],
      { 0: PCR0 },
      "ok",
    ],
    [
      "K22: Deny unless attested, not attested",
      [free, deny({ StringNotEqualsIgnoreCase: { [`${R}PCR0`]: PCR0 } })],
      undefined,
      "no",
    ],
    [
      "K22: two statements, half of each",
      [
        attestedStatement("enclave", { StringEquals: { [`${R}PCR0`]: PCR0, [`${R}PCR8`]: PCR0 } }),
        attestedStatement("enclave", { StringEquals: { [`${R}PCR0`]: ZERO, [`${R}PCR8`]: ZERO } }),
      ],
      { 0: PCR0, 8: ZERO },
      "no",
    ],
    [
      "K23: a register that is not in the document",
      attestedStatement("enclave", { StringEquals: { [`${R}PCR31`]: PCR0 } }),
      { 0: PCR0 },
      "no",
    ],
    ["K23: ImageSha384 is PCR0", attestedStatement("enclave", match), { 0: PCR0 }, "ok"],
    ["K23: ImageSha384 is no other", attestedStatement("enclave", match), { 0: ZERO, 1: PCR0 }, "no"],
  ] as const)("%s", async (_why, statements, pcrs, wanted) => {
    const KeyId = await newKey({ Policy: keyPolicy(...[statements].flat()) });
    expect(await ask(KeyId, pcrs)).toBe(wanted === "ok" ? "ok" : "AccessDeniedException");
  });

  test("K29: what the account delegates, an identity policy allows without a document", async () => {
    const KeyId = await newKey({ Policy: keyPolicy(attestedStatement("enclave", match)) });
    await admin().generateDataKey({ KeyId, KeySpec: "AES_256" });
    expect(await ask(KeyId)).toBe("AccessDeniedException");
  });
});

describe("who is let at a key", () => {
  const session = `arn:aws:sts::${OWNER}:assumed-role/bare/i-0abc`;
  test.each([
    ["the role", { AWS: arnOf("bare") }, "bare", "ok"],
    ["its session", { AWS: session }, "bare", "ok"],
    ["another session of it", { AWS: `${session}2` }, "bare", "no"],
    ["everyone, in the account", { AWS: "*" }, "bare", "ok"],
    ["everyone, elsewhere", "*", "partner", "ok"],
    ["the account, without an identity policy", { AWS: OWNER }, "bare", "no"],
    ["the other account, with one", { AWS: OTHER }, "partner", "ok"],
    ["a service", { Service: "logs.amazonaws.com" }, "bare", "no"],
  ] as const)("K25: %s", async (_why, Principal, who: Who, wanted) => {
    const KeyId = await newKey({ Policy: keyPolicy(allowing(Principal as object)) });
    const found = await outcome(as(who).encrypt({ KeyId, Plaintext }));
    expect(found).toBe(wanted === "ok" ? "ok" : "AccessDeniedException");
  });

  test("K25: NotPrincipal denies all but whom it names with their account and session", async () => {
    const spared = [`arn:aws:iam::${OWNER}:root`, arnOf("admin"), `arn:aws:sts::${OWNER}:assumed-role/admin/i-0abc`];
    const deny = { Effect: "Deny", NotPrincipal: { AWS: spared }, Action: "kms:Encrypt", Resource: "*" };
    const KeyId = await newKey({ Policy: keyPolicy(allowing({ AWS: arnOf("bare") }), deny) });
    expect(await outcome(bare().encrypt({ KeyId, Plaintext }))).toBe("AccessDeniedException");
    await admin().encrypt({ KeyId, Plaintext });
  });

  test("a caller that no policy reaches is told who, what and why", async () => {
    const KeyId = await newKey();
    const user = `User: arn:aws:sts::${OWNER}:assumed-role/bare/i-0abc is not authorized to perform`;
    expect(await refusal(bare().describeKey({ KeyId }))).toEqual({
      name: "AccessDeniedException",
      message: `${user}: kms:DescribeKey on resource: ${KeyId} because no identity-based policy allows the kms:DescribeKey action`,
    });
    expect((await refusal(bare().createKey({}))).message).toBe(
      `${user}: kms:CreateKey because no identity-based policy allows the kms:CreateKey action`,
    );
  });
});
