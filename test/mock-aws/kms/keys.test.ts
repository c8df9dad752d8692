/** Keys: made, described, listed, disabled, deleted; what they were last used for. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { allow, identities, keyPolicy, NOW, OWNER, REGION } from "../testbed.ts";
import { bedOfFile, DAY_MS, outcome, present, refusal, startKmsBed } from "./bed.ts";

const { admin, as, bare, newKey } = bedOfFile();

describe("CreateKey and DescribeKey", () => {
  test("DescribeKey answers what CreateKey answered, and the policy is the default one", async () => {
    const created = await admin().createKey({ Description: "demo", Tags: [{ TagKey: "team", TagValue: "a" }] });
    const key = present(created.KeyMetadata);
    expect(key).toMatchObject({
      ...{ AWSAccountId: OWNER, Description: "demo", KeySpec: "SYMMETRIC_DEFAULT", KeyState: "Enabled" },
      ...{ CreationDate: NOW, Enabled: true, KeyManager: "CUSTOMER", MultiRegion: false, Origin: "AWS_KMS" },
    });
    expect(key.Arn).toBe(`arn:aws:kms:${REGION}:${OWNER}:key/${key.KeyId}`);
    expect(key.KeyId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(key.CurrentKeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect((await admin().describeKey({ KeyId: key.KeyId })).KeyMetadata).toEqual(key);
    const { Policy, PolicyName } = await admin().getKeyPolicy({ KeyId: present(key.KeyId) });
    expect(PolicyName).toBe("default");
    expect(JSON.parse(present(Policy))).toEqual({
      Version: "2012-10-17",
      Id: "key-default-1",
      Statement: [
        {
          Sid: "Enable IAM User Permissions",
          Effect: "Allow",
          Principal: { AWS: `arn:aws:iam::${OWNER}:root` },
          Action: "kms:*",
          Resource: "*",
        },
      ],
    });
  });

  test.each([
    ["RSA_2048", "ENCRYPT_DECRYPT", { EncryptionAlgorithms: ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] }],
    ["ECC_NIST_P384", "SIGN_VERIFY", { SigningAlgorithms: ["ECDSA_SHA_384"] }],
    ["ECC_SECG_P256K1", "SIGN_VERIFY", { SigningAlgorithms: ["ECDSA_SHA_256"] }],
    ["ECC_NIST_P256", "KEY_AGREEMENT", { KeyAgreementAlgorithms: ["ECDH"] }],
    ["HMAC_384", "GENERATE_VERIFY_MAC", { MacAlgorithms: ["HMAC_SHA_384"] }],
    ["ML_DSA_65", "SIGN_VERIFY", { SigningAlgorithms: ["ML_DSA_SHAKE_256"] }],
  ] as const)("a key of spec %s for %s says which algorithms it has", async (KeySpec, KeyUsage, algorithms) => {
    const { KeyMetadata: key } = await admin().createKey({ KeySpec, KeyUsage });
    expect(key).toMatchObject({ KeySpec, CustomerMasterKeySpec: KeySpec, KeyUsage, ...algorithms });
    expect(key).not.toHaveProperty("CurrentKeyMaterialId");
  });

  test.each([
    ["no usage for a pair", { KeySpec: "RSA_2048" }, "ValidationException"],
    ["a usage of another spec", { KeySpec: "HMAC_256", KeyUsage: "SIGN_VERIFY" }, "ValidationException"],
    ["both names of the spec", { KeySpec: "RSA_2048", CustomerMasterKeySpec: "RSA_2048" }, "ValidationException"],
    ["an origin without a store", { Origin: "AWS_CLOUDHSM" }, "ValidationException"],
    ["a store without an origin", { CustomKeyStoreId: "cks-1" }, "ValidationException"],
    [
      "a multi-Region key in a store",
      { Origin: "AWS_CLOUDHSM", CustomKeyStoreId: "cks-1", MultiRegion: true },
      "UnsupportedOperationException",
    ],
  ])("%s is refused", async (_why, input, name) => {
    expect((await refusal(admin().createKey(input as never))).name).toBe(name);
  });

  test("tags need their own permission", async () => {
    const Tags = [{ TagKey: "a", TagValue: "b" }];
    await using other = await startKmsBed({
      accounts: [
        {
          accountId: OWNER,
          principals: [
            {
              type: "role",
              name: "admin",
              identityPolicies: [allow("kms:CreateKey")],
              credentials: [{ ...identities.admin, sessionName: "i-0abc" }],
            },
          ],
        },
      ],
    });
    await other.as("admin").createKey({});
    const { name, message } = await refusal(other.as("admin").createKey({ Tags }));
    expect([name, message.includes("kms:TagResource")]).toEqual(["AccessDeniedException", true]);
  });

  const unknown = "00000000-0000-4000-8000-000000000000";
  test.each([
    ["unknown id", unknown, "NotFoundException", `Key 'arn:aws:kms:${REGION}:${OWNER}:key/${unknown}' does not exist`],
    ["not an id", "fake-key-id", "NotFoundException", "Invalid keyId 'fake-key-id'"],
    ["other region", `arn:aws:kms:us-east-1:${OWNER}:key/${unknown}`, "NotFoundException", "Invalid arn us-east-1"],
    ["alias", "alias/x", "NotFoundException", `Alias arn:aws:kms:${REGION}:${OWNER}:alias/x is not found.`],
    ["not a KMS ARN", "arn:aws:s3:::bucket", "InvalidArnException", "Invalid ARN: arn:aws:s3:::bucket"],
  ])("%s → %s", async (_why, KeyId, name, message) => {
    expect(await refusal(admin().describeKey({ KeyId }))).toEqual({ name, message });
  });

  test("a description changes", async () => {
    const KeyId = await newKey();
    await admin().updateKeyDescription({ KeyId, Description: "new" });
    expect((await admin().describeKey({ KeyId })).KeyMetadata?.Description).toBe("new");
  });
});

describe("use", () => {
  const Plaintext = utf8("x");

  test("K34 a disabled key is described but not used", async () => {
    const KeyId = await newKey();
    await admin().disableKey({ KeyId });
    const refused = await refusal(admin().encrypt({ KeyId, Plaintext }));
    expect(refused).toEqual({ name: "DisabledException", message: `${KeyId} is disabled.` });
    expect((await admin().describeKey({ KeyId })).KeyMetadata).toMatchObject({ KeyState: "Disabled", Enabled: false });
    await admin().enableKey({ KeyId });
    await admin().encrypt({ KeyId, Plaintext });
  });

  test("K34 usage is asked before state, and algorithm after", async () => {
    const KeyId = await newKey({ KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" });
    await admin().disableKey({ KeyId });
    const wrongUsage = await refusal(admin().encrypt({ KeyId, Plaintext }));
    expect(wrongUsage).toEqual({
      name: "InvalidKeyUsageException",
      message: `${KeyId} key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.`,
    });
    const symmetric = await newKey();
    const wrongAlgorithm = await refusal(
      admin().encrypt({ KeyId: symmetric, Plaintext, EncryptionAlgorithm: "RSAES_OAEP_SHA_256" }),
    );
    expect(wrongAlgorithm.message).toBe(
      "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.",
    );
    expect(await outcome(admin().getPublicKey({ KeyId: symmetric }))).toBe("UnsupportedOperationException");
  });

  test("the last use is told, of both keys of a ReEncrypt; a dry run and a refused call are none", async () => {
    const [first, second] = [await newKey(), await newKey()];
    const usage = async (KeyId: string) => (await admin().getKeyLastUsage({ KeyId })).KeyLastUsage;
    expect(await usage(first)).toBeUndefined();
    await outcome(admin().encrypt({ KeyId: first, Plaintext, DryRun: true }));
    await outcome(bare().encrypt({ KeyId: first, Plaintext }));
    expect(await usage(first)).toBeUndefined();
    const { CiphertextBlob } = await admin().encrypt({ KeyId: first, Plaintext });
    expect(await usage(first)).toMatchObject({ Operation: "Encrypt", Timestamp: NOW });
    await admin().reEncrypt({ CiphertextBlob, DestinationKeyId: second });
    expect([(await usage(first))?.Operation, (await usage(second))?.Operation]).toEqual(["ReEncrypt", "ReEncrypt"]);
    expect(await outcome(as("partner").getKeyLastUsage({ KeyId: first }))).toBe("AccessDeniedException");
  });
});

describe("deletion", () => {
  test("K34 a key that is going is not used, comes back disabled, or goes with its aliases and ciphertexts", async () => {
    await using own = await startKmsBed();
    const kms = own.as("admin");
    const KeyId = present((await kms.createKey({})).KeyMetadata?.Arn);
    await kms.createAlias({ AliasName: "alias/going", TargetKeyId: KeyId });
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext: utf8("x") });
    const scheduled = await kms.scheduleKeyDeletion({ KeyId, PendingWindowInDays: 7 });
    const DeletionDate = new Date(NOW.getTime() + 7 * DAY_MS);
    expect(scheduled).toMatchObject({ KeyId, DeletionDate, KeyState: "PendingDeletion", PendingWindowInDays: 7 });
    expect(await refusal(kms.decrypt({ CiphertextBlob }))).toEqual({
      name: "KMSInvalidStateException",
      message: `${KeyId} is pending deletion.`,
    });
    expect((await kms.cancelKeyDeletion({ KeyId })).KeyId).toBe(KeyId);
    expect((await kms.describeKey({ KeyId })).KeyMetadata?.KeyState).toBe("Disabled");
    await kms.scheduleKeyDeletion({ KeyId, PendingWindowInDays: 7 });
    own.aws.setClockOffsetMs(7 * DAY_MS - 1);
    expect((await kms.describeKey({ KeyId: "alias/going" })).KeyMetadata?.KeyState).toBe("PendingDeletion");
    own.aws.setClockOffsetMs(7 * DAY_MS);
    expect((await kms.listAliases({})).Aliases?.map(({ AliasName }) => AliasName)).not.toContain("alias/going");
    expect(await outcome(kms.describeKey({ KeyId }))).toBe("NotFoundException");
    expect(await outcome(kms.decrypt({ CiphertextBlob }))).toBe("InvalidCiphertextException");
    expect((await kms.listKeys({})).Keys).toEqual([]);
  });

  test.each([6, 31])("a window of %i days is none", async (PendingWindowInDays) => {
    const KeyId = await newKey();
    expect(await outcome(admin().scheduleKeyDeletion({ KeyId, PendingWindowInDays }))).toBe("ValidationException");
  });

  test("a policy can ask for how long a key has been idle", async () => {
    await using own = await startKmsBed();
    const idle = {
      Sid: "idle",
      Effect: "Deny",
      Principal: "*",
      Action: ["kms:ScheduleKeyDeletion", "kms:DisableKey"],
      Resource: "*",
      Condition: { NumericLessThan: { "kms:TrailingDaysWithoutKeyUsage": "30" } },
    };
    const { KeyMetadata } = await own.as("admin").createKey({ Policy: keyPolicy(idle) });
    const KeyId = present(KeyMetadata?.Arn);
    expect(await outcome(own.as("admin").disableKey({ KeyId }))).toBe("AccessDeniedException");
    own.aws.setClockOffsetMs(29 * DAY_MS);
    await own.as("admin").encrypt({ KeyId, Plaintext: utf8("x") });
    own.aws.setClockOffsetMs(58 * DAY_MS);
    expect(await outcome(own.as("admin").scheduleKeyDeletion({ KeyId }))).toBe("AccessDeniedException");
    own.aws.setClockOffsetMs(59 * DAY_MS);
    await own.as("admin").disableKey({ KeyId });
    await own.as("admin").scheduleKeyDeletion({ KeyId });
  });
});

test("lists come in pages, and a marker is checked", async () => {
  await using own = await startKmsBed();
  const kms = own.as("admin");
  const made = await Promise.all(Array.from({ length: 5 }, () => kms.createKey({})));
  const first = await kms.listKeys({ Limit: 3 });
  expect([first.Keys?.length, first.Truncated]).toEqual([3, true]);
  const second = await kms.listKeys({ Limit: 3, Marker: first.NextMarker });
  expect([second.Keys?.length, second.Truncated, second.NextMarker]).toEqual([2, false, undefined]);
  const listed = [...present(first.Keys), ...present(second.Keys)].map(({ KeyArn }) => KeyArn);
  expect(new Set(listed)).toEqual(new Set(made.map(({ KeyMetadata }) => KeyMetadata?.Arn)));
  expect(await outcome(kms.listKeys({ Marker: "AAAA" }))).toBe("InvalidMarkerException");
  expect(await outcome(kms.listKeys({ Limit: 1001 }))).toBe("ValidationException");
  expect((await own.as("partner").listKeys({})).Keys).toEqual([]);
  expect((await own.as("admin", "us-east-1").listKeys({})).Keys).toEqual([]);
});
