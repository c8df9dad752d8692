/** Aliases and tags: made, moved, listed, taken away; what policies see of them. */
import { beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { allow, arnOf, identities, keyPolicy, OWNER, REGION } from "../testbed.ts";
import { bedOfFile, outcome, present, refusal, startKmsBed } from "./bed.ts";

const { admin, bare, newKey } = bedOfFile();
let KeyId: string;
const Plaintext = utf8("x");
const aliasArn = (name: string): string => `arn:aws:kms:${REGION}:${OWNER}:alias/${name}`;

beforeAll(async () => {
  KeyId = await newKey();
});

describe("aliases", () => {
  test("K33: an alias is listed, used by name and by ARN, moved and taken away", async () => {
    await admin().createAlias({ AliasName: "alias/a", TargetKeyId: KeyId });
    const { Aliases } = await admin().listAliases({ KeyId });
    expect(Aliases).toMatchObject([
      { AliasName: "alias/a", AliasArn: aliasArn("a"), TargetKeyId: KeyId.split("/")[1] },
    ]);
    for (const name of ["alias/a", aliasArn("a")])
      expect((await admin().encrypt({ KeyId: name, Plaintext })).KeyId).toBe(KeyId);
    const second = await newKey();
    await admin().updateAlias({ AliasName: "alias/a", TargetKeyId: second });
    expect((await admin().describeKey({ KeyId: "alias/a" })).KeyMetadata?.Arn).toBe(second);
    await admin().deleteAlias({ AliasName: "alias/a" });
    expect(await refusal(admin().describeKey({ KeyId: "alias/a" }))).toEqual({
      name: "NotFoundException",
      message: `Alias ${aliasArn("a")} is not found.`,
    });
  });

  test("management takes no alias", async () => {
    await admin().createAlias({ AliasName: "alias/managed", TargetKeyId: KeyId });
    for (const call of [
      admin().disableKey({ KeyId: "alias/managed" }),
      admin().getKeyPolicy({ KeyId: "alias/managed" }),
      admin().createAlias({ AliasName: "alias/of-alias", TargetKeyId: "alias/managed" }),
    ])
      expect(await refusal(call)).toEqual({ name: "NotFoundException", message: "Invalid keyId 'alias/managed'" });
  });

  test.each([
    ["a name twice", "alias/twice", "AlreadyExistsException"],
    ["AWS's own", "alias/aws/mine", "InvalidAliasNameException"],
    ["no prefix", "mine", "ValidationException"],
    ["another character", "alias/a b", "ValidationException"],
  ])("%s is refused", async (_why, AliasName, name) => {
    if (AliasName === "alias/twice") await admin().createAlias({ AliasName, TargetKeyId: KeyId });
    expect(await outcome(admin().createAlias({ AliasName, TargetKeyId: KeyId }))).toBe(name);
  });

  test("an alias stays with keys of its type and usage, and a key has at most 50", async () => {
    const mac = await newKey({ KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" });
    const many = await newKey();
    const names = Array.from({ length: 50 }, (_, i) => `alias/many/${i}`);
    for (const AliasName of names) await admin().createAlias({ AliasName, TargetKeyId: many });
    const moved = admin().updateAlias({ AliasName: "alias/many/0", TargetKeyId: mac });
    expect(await outcome(moved)).toBe("ValidationException");
    const full = admin().createAlias({ AliasName: "alias/many/50", TargetKeyId: many });
    expect(await outcome(full)).toBe("LimitExceededException");
    await admin().updateAlias({ AliasName: "alias/many/0", TargetKeyId: many });
    const listed: (string | undefined)[] = [];
    let Marker: string | undefined;
    do {
      const page = await admin().listAliases({ KeyId: many, Limit: 20, ...(Marker === undefined ? {} : { Marker }) });
      listed.push(...present(page.Aliases).map(({ AliasName }) => AliasName));
      Marker = page.NextMarker;
    } while (Marker !== undefined);
    expect(listed.toSorted()).toEqual(names.toSorted());
  });

  test("permission is needed twice: on the alias and on the key", async () => {
    const principal = (name: string, statements: object[]) => ({
      ...{ type: "role" as const, name, identityPolicies: [{ Version: "2012-10-17", Statement: statements } as never] },
      credentials: [{ ...identities[name as "admin"], sessionName: "i-0abc" }],
    });
    const on = (Resource: string) => ({ Effect: "Allow", Action: "kms:*Alias", Resource });
    await using own = await startKmsBed({
      accounts: [
        {
          accountId: OWNER,
          principals: [
            { ...principal("admin", []), identityPolicies: [allow("kms:*")] },
            principal("enclave", [on(`arn:aws:kms:*:${OWNER}:key/*`)]),
            principal("bare", [on(`arn:aws:kms:*:${OWNER}:alias/*`)]),
          ],
        },
      ],
    });
    const made = present((await own.as("admin").createKey({})).KeyMetadata?.Arn);
    const asked = { AliasName: "alias/half", TargetKeyId: made };
    expect((await refusal(own.as("enclave").createAlias(asked))).message).toContain("alias/half");
    expect((await refusal(own.as("bare").createAlias(asked))).message).toContain(made);
    await own.as("admin").createAlias(asked);
    expect(await outcome(own.as("bare").deleteAlias({ AliasName: "alias/half" }))).toBe("AccessDeniedException");
    const Policy = keyPolicy({
      Effect: "Allow",
      Principal: { AWS: arnOf("bare") },
      Action: "kms:*Alias",
      Resource: "*",
    });
    await own.as("admin").putKeyPolicy({ KeyId: made, Policy });
    const second = present((await own.as("admin").createKey({})).KeyMetadata?.Arn);
    const moved = own.as("bare").updateAlias({ AliasName: "alias/half", TargetKeyId: second });
    expect(await outcome(moved)).toBe("AccessDeniedException");
    await own.as("bare").deleteAlias({ AliasName: "alias/half" });
  });

  test("policies see the alias of the request, and those of the key", async () => {
    const allowIf = (Condition: object) =>
      keyPolicy({
        Effect: "Allow",
        Principal: { AWS: arnOf("bare") },
        Action: "kms:Encrypt",
        Resource: "*",
        Condition,
      });
    const byRequest = await newKey({ Policy: allowIf({ StringEquals: { "kms:RequestAlias": "alias/by-request" } }) });
    await admin().createAlias({ AliasName: "alias/by-request", TargetKeyId: byRequest });
    const encrypt = (id: string) => outcome(bare().encrypt({ KeyId: id, Plaintext }));
    expect([await encrypt("alias/by-request"), await encrypt(aliasArn("by-request"))]).toEqual(["ok", "ok"]);
    expect(await encrypt(byRequest)).toBe("AccessDeniedException");
    const byKey = await newKey({
      Policy: allowIf({ "ForAnyValue:StringLike": { "kms:ResourceAliases": "alias/by-key*" } }),
    });
    expect(await encrypt(byKey)).toBe("AccessDeniedException");
    await admin().createAlias({ AliasName: "alias/by-key-1", TargetKeyId: byKey });
    expect(await encrypt(byKey)).toBe("ok");
  });
});

describe("tags", () => {
  test("are added, replaced, listed in pages and taken away", async () => {
    const id = await newKey({ Tags: [{ TagKey: "a", TagValue: "1" }] });
    await admin().tagResource({
      KeyId: id,
      Tags: [
        { TagKey: "a", TagValue: "2" },
        { TagKey: "b", TagValue: "" },
      ],
    });
    const first = await admin().listResourceTags({ KeyId: id, Limit: 1 });
    const second = await admin().listResourceTags({ KeyId: id, Limit: 1, Marker: first.NextMarker });
    expect([...present(first.Tags), ...present(second.Tags)]).toEqual([
      { TagKey: "a", TagValue: "2" },
      { TagKey: "b", TagValue: "" },
    ]);
    await admin().untagResource({ KeyId: id, TagKeys: ["a", "none"] });
    expect((await admin().listResourceTags({ KeyId: id })).Tags).toEqual([{ TagKey: "b", TagValue: "" }]);
  });

  const many = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ TagKey: `k${from + i}`, TagValue: "" }));
  test.each([
    ["a key twice", [...many(0, 1), ...many(0, 1)], "Duplicate tag keys"],
    ["AWS's own", [{ TagKey: "AWS:x", TagValue: "" }], "Tags beginning with aws: are reserved"],
    ["51", many(0, 51), "Too many tags"],
  ])("%s → TagException", async (_why, Tags, message) => {
    expect(await refusal(admin().createKey({ Tags }))).toEqual({ name: "TagException", message });
    expect(await refusal(admin().tagResource({ KeyId, Tags }))).toEqual({ name: "TagException", message });
  });

  test("50 are the most, however they come", async () => {
    const id = await newKey({ Tags: many(0, 49) });
    await admin().tagResource({ KeyId: id, Tags: many(48, 2) });
    expect(await outcome(admin().tagResource({ KeyId: id, Tags: many(50, 1) }))).toBe("TagException");
    expect(await outcome(bare().tagResource({ KeyId: id, Tags: many(50, 1) }))).toBe("AccessDeniedException");
  });

  test("policies see a key's tags, and those of the request", async () => {
    const Policy = keyPolicy(
      {
        ...{ Effect: "Allow", Principal: { AWS: arnOf("bare") }, Action: "kms:Encrypt", Resource: "*" },
        Condition: { StringEquals: { "aws:ResourceTag/open": "yes" } },
      },
      {
        ...{ Effect: "Allow", Principal: { AWS: arnOf("bare") }, Action: "kms:TagResource", Resource: "*" },
        Condition: {
          "ForAllValues:StringEquals": { "aws:TagKeys": ["open"] },
          StringEquals: { "aws:RequestTag/open": "yes" },
        },
      },
    );
    const id = await newKey({ Policy });
    const tag = (TagKey: string, TagValue: string) =>
      outcome(bare().tagResource({ KeyId: id, Tags: [{ TagKey, TagValue }] }));
    expect(await outcome(bare().encrypt({ KeyId: id, Plaintext }))).toBe("AccessDeniedException");
    expect([await tag("open", "no"), await tag("shut", "yes"), await tag("open", "yes")]).toEqual([
      "AccessDeniedException",
      "AccessDeniedException",
      "ok",
    ]);
    await bare().encrypt({ KeyId: id, Plaintext });
  });
});
