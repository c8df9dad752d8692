/** Encrypt, Decrypt, ReEncrypt: contexts, ciphertexts, algorithms, limits, dry runs. */
import { beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { keyPolicy, OTHER, OWNER, REGION } from "../testbed.ts";
import { bedOfFile, outcome, present, refusal, startKmsBed } from "./bed.ts";

const { admin, as, bare, newKey } = bedOfFile();
let KeyId: string;
const Plaintext = utf8("plain");
const EncryptionContext = { purpose: "demo", tenant: "7" };
const sealed = async (input = {}): Promise<Uint8Array> =>
  present((await admin().encrypt({ KeyId, Plaintext, ...input })).CiphertextBlob);

beforeAll(async () => {
  KeyId = await newKey();
});

describe("symmetric ciphertexts", () => {
  test("K31: the order of the context does not count; the ciphertext names its key", async () => {
    const answer = await admin().encrypt({ KeyId, Plaintext, EncryptionContext });
    expect(answer).toMatchObject({ KeyId, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    expect(Buffer.from(present(answer.CiphertextBlob)).toString("base64")).toMatch(/^AQICAH/);
    expect(answer.CiphertextBlob?.length).toBe(Plaintext.length + 152);
    const { CiphertextBlob } = answer;
    const opened = await admin().decrypt({ CiphertextBlob, EncryptionContext: { tenant: "7", purpose: "demo" } });
    expect(opened).toMatchObject({ KeyId, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    expect(opened.KeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect(opened.Plaintext).toEqual(Uint8Array.from(Plaintext));
  });

  test.each([
    ["missing", {}],
    ["another value", { ...EncryptionContext, tenant: "8" }],
    ["another case of a value", { ...EncryptionContext, purpose: "Demo" }],
    ["another case of a name", { purpose: "demo", Tenant: "7" }],
    ["one more, empty", { ...EncryptionContext, empty: "" }],
    ["one less", { purpose: "demo" }],
    ["moved between name and value", { purposed: "emo", tenant: "7" }],
  ])("K31: encryption context %s", async (_why, context) => {
    const CiphertextBlob = await sealed({ EncryptionContext });
    const refused = await refusal(admin().decrypt({ CiphertextBlob, EncryptionContext: context }));
    expect(refused.name).toBe("InvalidCiphertextException");
  });

  test("K30: a key that is not the ciphertext's; the text is AWS's", async () => {
    const CiphertextBlob = await sealed();
    const other = await newKey();
    const mac = await newKey({ KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" });
    for (const named of [other, mac])
      expect(await refusal(admin().decrypt({ CiphertextBlob, KeyId: named }))).toEqual({
        name: "IncorrectKeyException",
        message: "The key ID in the request does not identify a CMK that can perform this operation.",
      });
    expect((await admin().decrypt({ CiphertextBlob, KeyId })).KeyId).toBe(KeyId);
  });

  test("K32: any byte changed, and any end cut off, is no ciphertext", async () => {
    const blob = await sealed();
    const changed = Array.from({ length: 12 }, (_, i) => Math.floor((blob.length * i) / 12)).map((at) =>
      blob.map((byte, index) => (index === at ? byte ^ 0x10 : byte)),
    );
    for (const CiphertextBlob of [...changed, blob.subarray(0, -1), blob.subarray(0, 40), utf8("x")])
      expect(await outcome(admin().decrypt({ CiphertextBlob }))).toBe("InvalidCiphertextException");
  });

  test("K32: nor is one of another Region, or of another emulator", async () => {
    const CiphertextBlob = await sealed();
    expect(await outcome(admin("us-east-1").decrypt({ CiphertextBlob }))).toBe("InvalidCiphertextException");
    await using other = await startKmsBed();
    expect(await outcome(other.as("admin").decrypt({ CiphertextBlob }))).toBe("InvalidCiphertextException");
  });

  test("K32: of another account's key no more is told than that it may not be used", async () => {
    const CiphertextBlob = await sealed();
    expect(await refusal(as("partner").decrypt({ CiphertextBlob }))).toEqual({
      name: "AccessDeniedException",
      message: `User: arn:aws:sts::${OTHER}:assumed-role/partner/i-0abc is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`,
    });
  });

  test("a context of more than 8192 bytes is refused, and any context for a pair", async () => {
    const long = { a: "x".repeat(8192) };
    expect(await outcome(admin().encrypt({ KeyId, Plaintext, EncryptionContext: long }))).toBe("ValidationException");
    const pair = await newKey({ KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT" });
    const asked = { KeyId: pair, Plaintext, EncryptionAlgorithm: "RSAES_OAEP_SHA_256", EncryptionContext } as const;
    expect(await outcome(admin().encrypt(asked))).toBe("ValidationException");
  });
});

test.each(["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const)(
  "RSA by %s, with its largest plaintext",
  async (EncryptionAlgorithm) => {
    const pair = await newKey({ KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT" });
    const max = EncryptionAlgorithm === "RSAES_OAEP_SHA_1" ? 214 : 190;
    const encrypt = (bytes: number) =>
      admin().encrypt({ KeyId: pair, EncryptionAlgorithm, Plaintext: new Uint8Array(bytes) });
    const { CiphertextBlob } = await encrypt(max);
    expect(CiphertextBlob?.length).toBe(256);
    const opened = await admin().decrypt({ KeyId: pair, CiphertextBlob, EncryptionAlgorithm });
    expect(opened.Plaintext?.length).toBe(max);
    expect(opened.KeyMaterialId).toBeUndefined();
    expect(await refusal(encrypt(max + 1))).toEqual({
      name: "ValidationException",
      message: `Algorithm ${EncryptionAlgorithm} and key spec RSA_2048 cannot encrypt data larger than ${max} bytes.`,
    });
    expect(await outcome(admin().decrypt({ CiphertextBlob, EncryptionAlgorithm }))).toBe("ValidationException");
  },
);

describe("ReEncrypt", () => {
  test("moves a ciphertext to another key and another context, between symmetric and RSA", async () => {
    const CiphertextBlob = await sealed({ EncryptionContext });
    const pair = await newKey({ KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT" });
    const moved = await admin().reEncrypt({
      CiphertextBlob,
      SourceEncryptionContext: EncryptionContext,
      DestinationKeyId: pair,
      DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
    });
    expect(moved).toMatchObject({ KeyId: pair, SourceKeyId: KeyId, SourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    expect(moved.SourceKeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect(moved.DestinationKeyMaterialId).toBeUndefined();
    const back = await admin().reEncrypt({
      CiphertextBlob: moved.CiphertextBlob,
      SourceKeyId: pair,
      SourceEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
      DestinationKeyId: KeyId,
      DestinationEncryptionContext: { now: "this" },
    });
    const { CiphertextBlob: last } = back;
    const opened = await admin().decrypt({ CiphertextBlob: last, EncryptionContext: { now: "this" } });
    expect(opened.Plaintext).toEqual(Uint8Array.from(Plaintext));
  });

  test("needs both permissions, and says by which key it fails; policies see whether it is the same", async () => {
    const only = (Action: string, Condition?: object) => ({
      ...{ Effect: "Deny", Principal: { AWS: `arn:aws:iam::${OWNER}:role/admin` }, Action, Resource: "*" },
      ...(Condition ? { Condition } : {}),
    });
    const noFrom = await newKey({ Policy: keyPolicy(only("kms:ReEncryptFrom")) });
    const noTo = await newKey({ Policy: keyPolicy(only("kms:ReEncryptTo")) });
    const notSame = await newKey({
      Policy: keyPolicy(only("kms:ReEncrypt*", { Bool: { "kms:ReEncryptOnSameKey": "true" } })),
    });
    const reEncrypt = async (from: string, to: string) =>
      outcome(admin().reEncrypt({ CiphertextBlob: await sealed({ KeyId: from }), DestinationKeyId: to }));
    expect(await reEncrypt(noFrom, KeyId)).toBe("AccessDeniedException");
    expect(await reEncrypt(KeyId, noFrom)).toBe("ok");
    expect(await reEncrypt(KeyId, noTo)).toBe("AccessDeniedException");
    expect(await reEncrypt(noTo, KeyId)).toBe("ok");
    expect(await reEncrypt(notSame, notSame)).toBe("AccessDeniedException");
    expect(await reEncrypt(notSame, KeyId)).toBe("ok");
  });
});

describe("dry runs", () => {
  test("K43: what would have succeeded fails in KMS's way, after every other check", async () => {
    const CiphertextBlob = await sealed();
    const DryRun = true;
    expect(await refusal(admin().encrypt({ KeyId, Plaintext, DryRun }))).toEqual({
      name: "DryRunOperationException",
      message: "The request would have succeeded, but the DryRun option is set.",
    });
    expect(await outcome(admin().decrypt({ CiphertextBlob, DryRun }))).toBe("DryRunOperationException");
    const moved = admin().reEncrypt({ CiphertextBlob, DestinationKeyId: KeyId, DryRun });
    expect(await outcome(moved)).toBe("DryRunOperationException");
    expect(await outcome(bare().encrypt({ KeyId, Plaintext, DryRun }))).toBe("AccessDeniedException");
    const wrong = admin().decrypt({ CiphertextBlob, EncryptionContext: { a: "b" }, DryRun });
    expect(await outcome(wrong)).toBe("InvalidCiphertextException");
  });

  test("K43: a dry run can do without the ciphertext, if it names the key", async () => {
    const without = { DryRun: true, DryRunModifiers: ["IGNORE_CIPHERTEXT" as const] };
    expect(await outcome(admin().decrypt({ KeyId, ...without }))).toBe("DryRunOperationException");
    expect(await outcome(admin().decrypt(without))).toBe("ValidationException");
    expect(await outcome(admin().decrypt({ KeyId, ...without, DryRun: false }))).toBe("ValidationException");
    expect(await outcome(admin().decrypt({ KeyId, DryRun: true }))).toBe("ValidationException");
    const moved = admin().reEncrypt({ SourceKeyId: KeyId, DestinationKeyId: KeyId, ...without });
    expect(await outcome(moved)).toBe("DryRunOperationException");
  });
});

describe("limits", () => {
  const limit = (value: string, path: string, rule: string): string =>
    `1 validation error detected: ${value} at '${path}' failed to satisfy constraint: Member must ${rule}`;
  test.each([
    [
      "an empty key id",
      () => admin().encrypt({ KeyId: "", Plaintext }),
      limit("Value ''", "keyId", "have length greater than or equal to 1"),
    ],
    [
      "a plaintext of 4097 bytes",
      () => admin().encrypt({ KeyId, Plaintext: new Uint8Array(4097) }),
      limit("Value", "plaintext", "have length less than or equal to 4096"),
    ],
    [
      "a ciphertext of 6145 bytes",
      () => admin().decrypt({ CiphertextBlob: new Uint8Array(6145) }),
      limit("Value", "ciphertextBlob", "have length less than or equal to 6144"),
    ],
    ["no key id", () => admin().describeKey({} as never), limit("Value null", "keyId", "not be null")],
  ] as const)("K42: %s, in AWS's words", async (_why, call, message) => {
    expect(await refusal(call())).toEqual({ name: "ValidationException", message });
  });

  test("K42: the largest plaintext is taken; two broken limits come together", async () => {
    await admin().encrypt({ KeyId, Plaintext: new Uint8Array(4096) });
    const { message } = await refusal(admin().encrypt({ KeyId: "", Plaintext: new Uint8Array(4097) }));
    expect(message).toMatch(/^2 validation errors detected: .*; .*$/);
  });
});

test("K33: an alias that is pointed elsewhere encrypts elsewhere; old ciphertexts open by their own key", async () => {
  const second = await newKey();
  await admin().createAlias({ AliasName: "alias/moving", TargetKeyId: KeyId });
  const before = await admin().encrypt({ KeyId: "alias/moving", Plaintext });
  await admin().updateAlias({ AliasName: "alias/moving", TargetKeyId: second });
  const after = await admin().encrypt({ KeyId: `arn:aws:kms:${REGION}:${OWNER}:alias/moving`, Plaintext });
  expect([before.KeyId, after.KeyId]).toEqual([KeyId, second]);
  const { CiphertextBlob } = before;
  expect((await admin().decrypt({ CiphertextBlob })).KeyId).toBe(KeyId);
  expect(await outcome(admin().decrypt({ CiphertextBlob, KeyId: "alias/moving" }))).toBe("IncorrectKeyException");
});
