/** The unmodified AWS SDK against the emulator: keys, policies, encryption, errors as AWS names them. */
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyPolicyCommand,
  type KMSClient,
  type KMSServiceException,
  ListKeysCommand,
  PutKeyPolicyCommand,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { utf8 } from "../../shared/bytes.ts";
import {
  arnOf,
  clientOf,
  identities,
  keyPolicy,
  NOW,
  OTHER,
  OWNER,
  REGION,
  startTestbed,
  type Who,
} from "./testbed.ts";

let aws: MockAws;
let keyArn: string;
const clients = new Map<Who, KMSClient>();
const as = (who: Who): KMSClient => clients.get(who) ?? expect.unreachable();

beforeAll(async () => {
  aws = await startTestbed();
  for (const who of Object.keys(identities) as Who[]) clients.set(who, clientOf(aws, who));
  const partner = { Effect: "Allow", Principal: { AWS: arnOf("partner") }, Action: "kms:*", Resource: "*" };
  const { KeyMetadata: key } = await as("admin").send(new CreateKeyCommand({ Policy: keyPolicy(partner) }));
  keyArn = key?.Arn ?? expect.unreachable();
});
afterAll(async () => {
  for (const client of clients.values()) client.destroy();
  await aws.close();
});

async function refusal(call: Promise<unknown>): Promise<{ name: string; message: string }> {
  const error = await call.then(
    () => expect.unreachable("it was accepted"),
    (error: KMSServiceException) => error,
  );
  expect(error.$metadata.httpStatusCode).toBe(400);
  return { name: error.name, message: error.message };
}

describe("keys", () => {
  test("CreateKey answers what DescribeKey answers, with the default policy", async () => {
    const created = await as("admin").send(new CreateKeyCommand({ Description: "demo" }));
    expect(created.KeyMetadata).toMatchObject({
      AWSAccountId: OWNER,
      Description: "demo",
      KeySpec: "SYMMETRIC_DEFAULT",
      KeyState: "Enabled",
      CreationDate: NOW,
    });
    expect(created.KeyMetadata?.Arn).toBe(`arn:aws:kms:${REGION}:${OWNER}:key/${created.KeyMetadata?.KeyId}`);
    expect(created.KeyMetadata?.CurrentKeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect(created.$metadata.requestId).toMatch(/^[0-9a-f-]{36}$/);
    const KeyId = created.KeyMetadata?.KeyId;
    const described = await as("admin").send(new DescribeKeyCommand({ KeyId }));
    expect(described.KeyMetadata).toEqual(created.KeyMetadata);
    const policy = await as("admin").send(new GetKeyPolicyCommand({ KeyId }));
    expect(policy.PolicyName).toBe("default");
    expect(JSON.parse(policy.Policy ?? "")).toEqual({
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

  const unknown = "00000000-0000-4000-8000-000000000000";
  test.each([
    ["unknown id", unknown, "NotFoundException", `Key 'arn:aws:kms:${REGION}:${OWNER}:key/${unknown}' does not exist`],
    ["not an id", "fake-key-id", "NotFoundException", "Invalid keyId 'fake-key-id'"],
    ["other region", `arn:aws:kms:us-east-1:${OWNER}:key/${unknown}`, "NotFoundException", "Invalid arn us-east-1"],
    ["alias", "alias/x", "NotFoundException", `Alias arn:aws:kms:${REGION}:${OWNER}:alias/x is not found.`],
    ["not a KMS ARN", "arn:aws:s3:::bucket", "InvalidArnException", "Invalid ARN: arn:aws:s3:::bucket"],
  ])("%s → %s", async (_why, KeyId, name, message) => {
    expect(await refusal(as("admin").send(new DescribeKeyCommand({ KeyId })))).toEqual({ name, message });
  });

  test.each([
    [{ KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT" }, "UnsupportedOperationException"],
    [{ Origin: "EXTERNAL" }, "UnsupportedOperationException"],
    [{ MultiRegion: true }, "UnsupportedOperationException"],
    [{ Tags: [{ TagKey: "a", TagValue: "b" }] }, "UnsupportedOperationException"],
    [{ CustomKeyStoreId: "cks-1" }, "UnsupportedOperationException"],
    [{ KeyUsage: "SIGN_VERIFY" }, "ValidationException"],
  ] as const)("CreateKey %o → %s", async (input, name) => {
    expect((await refusal(as("admin").send(new CreateKeyCommand(input as never)))).name).toBe(name);
  });

  test("an operation that is not offered is unknown, by name", async () => {
    expect((await refusal(as("admin").send(new ListKeysCommand({})))).name).toBe("UnknownOperationException");
  });

  test("a disabled key is described but not used", async () => {
    const { KeyMetadata: key } = await as("admin").send(new CreateKeyCommand({}));
    const input = { KeyId: key?.KeyId };
    await as("admin").send(new DisableKeyCommand(input));
    const plaintext = { ...input, Plaintext: utf8("x") };
    expect(await refusal(as("admin").send(new EncryptCommand(plaintext)))).toEqual({
      name: "DisabledException",
      message: `${key?.Arn} is disabled.`,
    });
    expect((await as("admin").send(new DescribeKeyCommand(input))).KeyMetadata?.KeyState).toBe("Disabled");
    await as("admin").send(new EnableKeyCommand(input));
    await as("admin").send(new EncryptCommand(plaintext));
  });
});

describe("encryption", () => {
  const Plaintext = utf8("plain");
  const EncryptionContext = { purpose: "demo", tenant: "7" };

  test("Decrypt inverts Encrypt, by the ciphertext alone, whatever the order of the context", async () => {
    const sealed = await as("admin").send(new EncryptCommand({ KeyId: keyArn, Plaintext, EncryptionContext }));
    expect(sealed).toMatchObject({ KeyId: keyArn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    const { CiphertextBlob } = sealed;
    const reordered = { tenant: "7", purpose: "demo" };
    const opened = await as("admin").send(new DecryptCommand({ CiphertextBlob, EncryptionContext: reordered }));
    expect(opened).toMatchObject({ KeyId: keyArn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    expect(opened.KeyMaterialId).toMatch(/^[0-9a-f]{64}$/);
    expect(Buffer.from(opened.Plaintext ?? []).toString()).toBe("plain");
  });

  test.each([
    [{ KeySpec: "AES_256" }, 32, 184],
    [{ KeySpec: "AES_128" }, 16, 168],
    [{ NumberOfBytes: 1 }, 1, 153],
  ] as const)("GenerateDataKey %o gives %i bytes in a blob of %i", async (size, bytes, blobBytes) => {
    const key = await as("admin").send(new GenerateDataKeyCommand({ KeyId: keyArn, ...size }));
    expect([key.Plaintext?.length, key.CiphertextBlob?.length]).toEqual([bytes, blobBytes]);
    expect(Buffer.from(key.CiphertextBlob ?? []).toString("base64")).toMatch(/^AQICAH/);
    const opened = await as("admin").send(new DecryptCommand({ CiphertextBlob: key.CiphertextBlob }));
    expect(opened.Plaintext).toEqual(key.Plaintext);
  });

  test.each([
    ["missing", {}],
    ["another value", { ...EncryptionContext, tenant: "8" }],
    ["another case", { purpose: "demo", Tenant: "7" }],
    ["one more", { ...EncryptionContext, empty: "" }],
  ])("K31 encryption context %s → InvalidCiphertextException without a text", async (_why, context) => {
    const sealed = await as("admin").send(new EncryptCommand({ KeyId: keyArn, Plaintext, EncryptionContext }));
    const call = new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context as never });
    expect((await refusal(as("admin").send(call))).name).toBe("InvalidCiphertextException");
  });

  test("K30 a key that is not the ciphertext's → IncorrectKeyException", async () => {
    const other = await as("admin").send(new CreateKeyCommand({}));
    const { CiphertextBlob } = await as("admin").send(new EncryptCommand({ KeyId: keyArn, Plaintext }));
    const call = new DecryptCommand({ CiphertextBlob, KeyId: other.KeyMetadata?.KeyId });
    expect((await refusal(as("admin").send(call))).name).toBe("IncorrectKeyException");
  });

  test("K32 a ciphertext of another region is nothing here", async () => {
    const { CiphertextBlob } = await as("admin").send(new EncryptCommand({ KeyId: keyArn, Plaintext }));
    const elsewhere = clientOf(aws, "admin", "us-east-1");
    const refused = await refusal(elsewhere.send(new DecryptCommand({ CiphertextBlob })));
    elsewhere.destroy();
    expect(refused.name).toBe("InvalidCiphertextException");
  });

  test("K43 a dry run that would have succeeded fails in KMS's way", async () => {
    const refused = await refusal(as("admin").send(new EncryptCommand({ KeyId: keyArn, Plaintext, DryRun: true })));
    expect(refused.name).toBe("DryRunOperationException");
    const denied = await refusal(as("bare").send(new EncryptCommand({ KeyId: keyArn, Plaintext, DryRun: true })));
    expect(denied.name).toBe("AccessDeniedException");
  });

  const limit = (value: string, path: string, rule: string): string =>
    `1 validation error detected: ${value} at '${path}' failed to satisfy constraint: Member must ${rule}`;
  const length = (path: string, max: number) => limit("Value", path, `have length less than or equal to ${max}`);
  test.each([
    [
      new EncryptCommand({ KeyId: "", Plaintext }),
      limit("Value ''", "keyId", "have length greater than or equal to 1"),
    ],
    [new EncryptCommand({ KeyId: "k", Plaintext: new Uint8Array(4097) }), length("plaintext", 4096)],
    [new DecryptCommand({ CiphertextBlob: new Uint8Array(6145) }), length("ciphertextBlob", 6144)],
    [
      new GenerateDataKeyCommand({ KeyId: "k", NumberOfBytes: 1025 }),
      limit("Value '1025'", "numberOfBytes", "have value less than or equal to 1024"),
    ],
    [
      new GenerateDataKeyCommand({ KeyId: "k", NumberOfBytes: 0 }),
      limit("Value '0'", "numberOfBytes", "have value greater than or equal to 1"),
    ],
    [
      new GenerateDataKeyCommand({ KeyId: "k", KeySpec: "AES_512" as never }),
      limit("Value 'AES_512'", "keySpec", "satisfy enum value set: [AES_256, AES_128]"),
    ],
    [new DescribeKeyCommand({} as never), limit("Value null", "keyId", "not be null")],
    [
      new GenerateDataKeyCommand({ KeyId: "k", KeySpec: "AES_256", NumberOfBytes: 32 }),
      "Please specify either number of bytes or key spec.",
    ],
  ])("K42 %# limits in AWS's words", async (command, message) => {
    expect(await refusal(as("admin").send(command as DescribeKeyCommand))).toEqual({
      name: "ValidationException",
      message,
    });
  });

  test("two broken limits come together", async () => {
    const call = new GenerateDataKeyCommand({ KeyId: "", NumberOfBytes: 0 });
    expect((await refusal(as("admin").send(call))).message).toMatch(/^2 validation errors detected: .*; .*$/);
  });
});

describe("access", () => {
  test("a caller that no policy reaches is told who, what and why", async () => {
    expect(await refusal(as("bare").send(new DescribeKeyCommand({ KeyId: keyArn })))).toEqual({
      name: "AccessDeniedException",
      message: `User: arn:aws:sts::${OWNER}:assumed-role/bare/i-0abc is not authorized to perform: kms:DescribeKey on resource: ${keyArn} because no identity-based policy allows the kms:DescribeKey action`,
    });
    expect((await refusal(as("bare").send(new CreateKeyCommand({})))).message).toBe(
      `User: arn:aws:sts::${OWNER}:assumed-role/bare/i-0abc is not authorized to perform: kms:CreateKey because no identity-based policy allows the kms:CreateKey action`,
    );
  });

  test("across accounts: by ARN, when both sides allow, and for use only", async () => {
    const sealed = await as("partner").send(new EncryptCommand({ KeyId: keyArn, Plaintext: utf8("x") }));
    const opened = await as("partner").send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
    expect(opened.KeyId).toBe(keyArn);
    const id = keyArn.split("/")[1];
    expect((await refusal(as("partner").send(new DescribeKeyCommand({ KeyId: id })))).name).toBe("NotFoundException");
    const govern = new GetKeyPolicyCommand({ KeyId: keyArn });
    expect((await refusal(as("partner").send(govern))).name).toBe("AccessDeniedException");
    const { KeyMetadata: own } = await as("admin").send(new CreateKeyCommand({}));
    const foreign = new DescribeKeyCommand({ KeyId: own?.Arn });
    expect((await refusal(as("partner").send(foreign))).message).toContain("because no resource-based policy allows");
  });

  const lockedOut = {
    name: "MalformedPolicyDocumentException",
    message: "The new key policy will not allow you to update the key policy in the future.",
  };
  const onlyEnclave = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: { AWS: arnOf("enclave") }, Action: "kms:Decrypt", Resource: "*" }],
  });

  test("K26 a policy that locks its author out is refused, unless the request says so", async () => {
    expect(await refusal(as("admin").send(new CreateKeyCommand({ Policy: onlyEnclave })))).toEqual(lockedOut);
    const { KeyMetadata: key } = await as("admin").send(new CreateKeyCommand({}));
    const put = { KeyId: key?.KeyId, Policy: onlyEnclave };
    expect(await refusal(as("admin").send(new PutKeyPolicyCommand(put)))).toEqual(lockedOut);
    await as("admin").send(new PutKeyPolicyCommand({ ...put, BypassPolicyLockoutSafetyCheck: true }));
    const denied = await refusal(as("admin").send(new GetKeyPolicyCommand({ KeyId: key?.KeyId })));
    expect(denied.message).toContain("because no resource-based policy allows the kms:GetKeyPolicy action");
  });

  const valid = JSON.parse(keyPolicy()) as { Statement: object[] };
  const withStatement = (change: object): string =>
    JSON.stringify({ ...valid, Statement: [{ ...valid.Statement[0], ...change }] });
  test.each([
    ["not JSON", "{", /not JSON/],
    ["a name twice", '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', /twice/],
    ["no Version", JSON.stringify({ Statement: valid.Statement }), /Version/],
    ["an unknown element", withStatement({ Resources: "*" }), /Resources is not an element/],
    ["an unknown operator", withStatement({ Condition: { StringSame: { a: "b" } } }), /StringSame/],
    ["IpAddress, by name", withStatement({ Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/8" } } }), /IpAddress/],
    ["no principal", withStatement({ Principal: undefined }), /invalid principals/],
    [
      "a wildcard in an ARN",
      withStatement({ Principal: { AWS: `arn:aws:iam::${OWNER}:role/*` } }),
      /invalid principals/,
    ],
    [
      "a role that is not there",
      withStatement({ Principal: { AWS: `arn:aws:iam::${OWNER}:role/x` } }),
      /invalid principals/,
    ],
    ["an account that is not there", withStatement({ Principal: { AWS: "999999999999" } }), /invalid principals/],
    ["more than 32 KiB", withStatement({ Sid: "x".repeat(32_768) }), /32768 bytes/],
  ])("K27 a policy with %s → MalformedPolicyDocumentException", async (_why, Policy, message) => {
    const refused = await refusal(as("admin").send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy })));
    expect(refused.name).toBe("MalformedPolicyDocumentException");
    expect(refused.message).toMatch(message);
  });

  test("a policy just below the limit is taken", async () => {
    const { KeyMetadata: key } = await as("admin").send(new CreateKeyCommand({}));
    const Policy = keyPolicy({ Sid: OTHER, Effect: "Deny", Principal: "*", Action: "kms:Sign" });
    const padded = Policy + " ".repeat(32_768 - Policy.length);
    await as("admin").send(new PutKeyPolicyCommand({ KeyId: key?.KeyId, Policy: padded }));
  });
});
