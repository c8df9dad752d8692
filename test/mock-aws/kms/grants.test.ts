/** Grants: made, used, handed on. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { arnOf, attestedStatement, keyPolicy, OTHER, OWNER, PCR0 } from "../testbed.ts";
import { bedOfFile, outcome, present, refusal, startKmsBed } from "./bed.ts";

const { admin, as, bare, newKey } = bedOfFile();
const Plaintext = utf8("x");
const BARE = { GranteePrincipal: arnOf("bare") };

describe("what a grant gives", () => {
  test("K28: its operations and no others, until it is revoked; past an attested statement", async () => {
    const attested = attestedStatement("bare", { StringEquals: { "kms:RecipientAttestation:PCR0": PCR0 } });
    const KeyId = await newKey({ Policy: keyPolicy(attested) });
    const { CiphertextBlob } = await admin().encrypt({ KeyId, Plaintext });
    expect(await outcome(bare().decrypt({ CiphertextBlob }))).toBe("AccessDeniedException");
    const { GrantId } = await admin().createGrant({ KeyId, ...BARE, Operations: ["Decrypt"] });
    await bare().decrypt({ CiphertextBlob });
    expect(await outcome(bare().encrypt({ KeyId, Plaintext }))).toBe("AccessDeniedException");
    await admin().revokeGrant({ KeyId, GrantId });
    expect(await outcome(bare().decrypt({ CiphertextBlob }))).toBe("AccessDeniedException");
    expect(await outcome(admin().revokeGrant({ KeyId, GrantId }))).toBe("InvalidGrantIdException");
  });

  test("K28: an explicit Deny beats it", async () => {
    const deny = { Effect: "Deny", Principal: { AWS: arnOf("bare") }, Action: "kms:Decrypt", Resource: "*" };
    const KeyId = await newKey({ Policy: keyPolicy(deny) });
    const { CiphertextBlob } = await admin().encrypt({ KeyId, Plaintext });
    await admin().createGrant({ KeyId, ...BARE, Operations: ["Decrypt"] });
    const { message } = await refusal(bare().decrypt({ CiphertextBlob }));
    expect(message).toContain("with an explicit deny in a resource-based policy");
  });

  test.each([
    ["EncryptionContextEquals", { a: "1", b: "2" }, "ok"],
    ["EncryptionContextEquals", { a: "1", b: "2", c: "3" }, "no"],
    ["EncryptionContextEquals", { a: "1" }, "no"],
    ["EncryptionContextSubset", { a: "1", b: "2", c: "3" }, "ok"],
    ["EncryptionContextSubset", { a: "1", b: "3" }, "no"],
    ["EncryptionContextSubset", {}, "no"],
  ] as const)("K28: %s with %o → %s", async (kind, EncryptionContext, wanted) => {
    const KeyId = await newKey();
    const Constraints = { [kind]: { a: "1", b: "2" } };
    await admin().createGrant({ KeyId, ...BARE, Operations: ["Encrypt", "DescribeKey"], Constraints });
    const found = await outcome(bare().encrypt({ KeyId, Plaintext, EncryptionContext }));
    expect(found).toBe(wanted === "ok" ? "ok" : "AccessDeniedException");
    await bare().describeKey({ KeyId });
  });

  test("K28: a token makes it hold before its time, and again; a retired grant's token is none", async () => {
    await using slow = await startKmsBed({ kms: { grantPropagationMs: 300_000 } });
    const KeyId = present((await slow.as("admin").createKey({})).KeyMetadata?.Arn);
    const Operations = ["Encrypt" as const, "RetireGrant" as const];
    const { GrantToken } = await slow.as("admin").createGrant({ KeyId, ...BARE, Operations });
    const ask = (tokens: string[] = []) => outcome(slow.as("bare").encrypt({ KeyId, Plaintext, GrantTokens: tokens }));
    expect(await ask()).toBe("AccessDeniedException");
    for (let i = 0; i < 2; i++) expect(await ask([present(GrantToken)])).toBe("ok");
    expect(await ask(["none"])).toBe("InvalidGrantTokenException");
    slow.aws.setClockOffsetMs(300_000);
    expect(await ask()).toBe("ok");
    await slow.as("bare").retireGrant({ GrantToken });
    expect(await ask()).toBe("AccessDeniedException");
    expect(await ask([present(GrantToken)])).toBe("InvalidGrantTokenException");
  });

  test("given to an account, it needs the principal's own permission as well", async () => {
    const KeyId = await newKey();
    await admin().createGrant({ KeyId, GranteePrincipal: `arn:aws:iam::${OTHER}:root`, Operations: ["Encrypt"] });
    await as("partner").encrypt({ KeyId, Plaintext });
    const own = await newKey({ Policy: keyPolicy() });
    await admin().createGrant({ KeyId: own, GranteePrincipal: `arn:aws:iam::${OWNER}:root`, Operations: ["Encrypt"] });
    expect(await outcome(bare().encrypt({ KeyId: own, Plaintext }))).toBe("AccessDeniedException");
  });
});

describe("CreateGrant", () => {
  test("the same request by name is the same grant with another token; without a name it is another", async () => {
    const KeyId = await newKey();
    const Constraints = { EncryptionContextSubset: { a: "1", b: "2" } };
    const named = { KeyId, ...BARE, Name: "n", Operations: ["Encrypt" as const, "Decrypt" as const], Constraints };
    const first = await admin().createGrant(named);
    const turned = { EncryptionContextSubset: { b: "2", a: "1" } };
    const again = await admin().createGrant({ ...named, Operations: ["Decrypt", "Encrypt"], Constraints: turned });
    expect(again.GrantId).toBe(first.GrantId);
    expect(again.GrantToken).not.toBe(first.GrantToken);
    const other = await admin().createGrant({ ...named, Operations: ["Decrypt"] });
    const { Name: _, ...nameless } = named;
    const ids = [other, await admin().createGrant(nameless), await admin().createGrant(nameless)];
    expect(new Set([first.GrantId, ...ids.map(({ GrantId }) => GrantId)]).size).toBe(4);
    expect(first.GrantId).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each([
    ["an operation of another kind of key", { ...BARE, Operations: ["Sign"] }, "ValidationException"],
    ["no grantee", { Operations: ["Decrypt"] }, "ValidationException"],
    [
      "a grantee that is not there",
      { GranteePrincipal: `arn:aws:iam::${OWNER}:role/x`, Operations: ["Decrypt"] },
      "InvalidArnException",
    ],
    ["a grantee that is no principal", { GranteePrincipal: "*", Operations: ["Decrypt"] }, "ValidationException"],
    [
      "both context constraints",
      {
        ...BARE,
        Operations: ["Decrypt"],
        Constraints: { EncryptionContextEquals: { a: "" }, EncryptionContextSubset: { a: "" } },
      },
      "ValidationException",
    ],
    [
      "a context of nine pairs",
      {
        ...BARE,
        Operations: ["Decrypt"],
        Constraints: { EncryptionContextEquals: Object.fromEntries([..."abcdefghi"].map((name) => [name, ""])) },
      },
      "ValidationException",
    ],
    [
      "a service without SourceArn",
      { GranteeServicePrincipal: "logs.amazonaws.com", Operations: ["Decrypt"] },
      "ValidationException",
    ],
  ])("%s is refused", async (_why, input, name) => {
    const KeyId = await newKey();
    expect(await outcome(admin().createGrant({ KeyId, ...input } as never))).toBe(name);
  });

  test("K43: a dry run makes none", async () => {
    const KeyId = await newKey();
    const asked = { KeyId, ...BARE, Operations: ["Decrypt" as const], DryRun: true };
    expect(await outcome(admin().createGrant(asked))).toBe("DryRunOperationException");
    expect((await admin().listGrants({ KeyId })).Grants).toEqual([]);
  });

  test("K28: a grantee hands on what it has, under its constraints or stricter ones", async () => {
    const KeyId = await newKey();
    const Constraints = { EncryptionContextSubset: { a: "1" } };
    await admin().createGrant({ KeyId, ...BARE, Operations: ["CreateGrant", "Decrypt"], Constraints });
    const handOn = (input: object) =>
      outcome(
        bare().createGrant({ KeyId, GranteePrincipal: arnOf("enclave"), ...(input as { Operations: ["Decrypt"] }) }),
      );
    const stricter = { EncryptionContextEquals: { a: "1", b: "2" } };
    expect(await handOn({ Operations: ["Decrypt"], Constraints })).toBe("ok");
    expect(await handOn({ Operations: ["Decrypt"], Constraints: stricter })).toBe("ok");
    expect(await handOn({ Operations: ["Decrypt"] })).toBe("AccessDeniedException");
    expect(await handOn({ Operations: ["Decrypt", "Encrypt"], Constraints })).toBe("AccessDeniedException");
    const looser = { EncryptionContextSubset: { b: "2" } };
    expect(await handOn({ Operations: ["Decrypt"], Constraints: looser })).toBe("AccessDeniedException");
    // Who is allowed by policy as well is not bound by a grant.
    await admin().createGrant({ KeyId, GranteePrincipal: arnOf("admin"), Operations: ["CreateGrant"] });
    await admin().createGrant({ KeyId, ...BARE, Operations: ["Encrypt"] });
  });

  test("policies can ask what the grant is to be", async () => {
    const only = (Condition: object) => ({
      ...{ Effect: "Allow", Principal: { AWS: arnOf("bare") }, Action: "kms:CreateGrant", Resource: "*", Condition },
    });
    const found = async (Condition: object, input: object) => {
      const KeyId = await newKey({ Policy: keyPolicy(only(Condition)) });
      return outcome(
        bare().createGrant({ KeyId, GranteePrincipal: arnOf("enclave"), Operations: ["Decrypt"], ...input }),
      );
    };
    const operations = { "ForAllValues:StringEquals": { "kms:GrantOperations": ["Decrypt", "Encrypt"] } };
    expect(await found(operations, {})).toBe("ok");
    expect(await found(operations, { Operations: ["Decrypt", "CreateGrant"] })).toBe("AccessDeniedException");
    const grantee = { StringEquals: { "kms:GranteePrincipal": arnOf("enclave") } };
    expect(await found(grantee, {})).toBe("ok");
    expect(await found(grantee, { GranteePrincipal: arnOf("admin") })).toBe("AccessDeniedException");
    const typed = { StringEquals: { "kms:GrantConstraintType": "EncryptionContextSubset" } };
    const Constraints = { EncryptionContextSubset: { a: "b" } };
    expect(await found(typed, { Constraints })).toBe("ok");
    expect(await found(typed, {})).toBe("AccessDeniedException");
    expect(await found({ Bool: { "kms:GrantIsForAWSResource": "true" } }, {})).toBe("AccessDeniedException");
  });
});
