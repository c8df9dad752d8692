/** A tool for tests: accounts apart from each other, reset, snapshot and restore, a clock that moves on. */
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  type KMSClient,
  ListKeyRotationsCommand,
  ListKeysCommand,
  ScheduleKeyDeletionCommand,
} from "@aws-sdk/client-kms";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newCredentials } from "../../mock/aws/credentials.ts";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { allow, clientOf, identities, NOW, options, recipientOf, rsaPair, startTestbed } from "./testbed.ts";

test("a clock goes where a date can, and stays where it was when it can not", () => {
  const start = aws.status().now;
  for (const move of [
    () => aws.advanceClock(1e17),
    () => aws.setClockOffsetMs(1e15),
    () => aws.setClockOffsetMs(-1e15),
  ])
    expect(move).toThrow(RangeError);
  expect(aws.status().now).toBe(start);
  aws.advanceClock(DAY_MS);
  expect(Date.parse(aws.status().now) - Date.parse(start)).toBe(DAY_MS);
});

const DAY_MS = 86_400_000;

let aws: MockAws;
let admin: KMSClient;
beforeEach(async () => {
  aws = await startTestbed();
  admin = clientOf(aws, "admin");
});
afterEach(async () => {
  admin.destroy();
  await aws.close();
});

async function newKey(): Promise<string> {
  return (await admin.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? "";
}

async function encrypt(KeyId: string): Promise<Uint8Array> {
  const { CiphertextBlob } = await admin.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from("kept") }));
  return CiphertextBlob ?? new Uint8Array();
}

async function keyCount(client = admin): Promise<number> {
  return (await client.send(new ListKeysCommand({}))).Keys?.length ?? -1;
}

describe("accounts", () => {
  test("one for each test: its keys are its own, and nobody can use them when it is gone", async () => {
    const credentials = newCredentials();
    const lone = {
      type: "role" as const,
      name: "lone",
      identityPolicies: [allow("kms:*")],
      credentials: [credentials],
    };
    aws.addAccount({ accountId: "999988887777", principals: [lone] });
    const client = clientOf(aws, "admin");
    client.config.credentials = async () => credentials;
    await newKey();
    const made = await client.send(new CreateKeyCommand({}));
    expect([await keyCount(), await keyCount(client)]).toEqual([1, 1]);
    expect(made.KeyMetadata?.Arn).toContain(":999988887777:");
    await expect(admin.send(new DescribeKeyCommand({ KeyId: made.KeyMetadata?.Arn }))).rejects.toThrow(
      "not authorized",
    );
    aws.removeAccount("999988887777");
    await expect(keyCount(client)).rejects.toMatchObject({ name: "UnrecognizedClientException" });
    client.destroy();
  });

  test("the same account can not be added twice", () => {
    const [account] = options().accounts;
    expect(() => aws.addAccount(account ?? expect.unreachable())).toThrow(ConfigError);
  });
});

describe("reset, snapshot, restore", () => {
  test("reset: no keys, no faults, no records, the first clock, roots and quotas; the accounts stay", async () => {
    await newKey();
    aws.injectFault({ operation: "*", answer: "throttle", times: 5 });
    aws.setQuotas("aws");
    aws.setAttestationRoots([new Uint8Array(4)]);
    aws.setClockOffsetMs(60_000);
    aws.advanceClock(DAY_MS);
    aws.reset();
    expect(aws.trail()).toEqual([]);
    expect(aws.status()).toMatchObject({ keys: 0, quotas: "off", attestationRoots: [], now: NOW.toISOString() });
    expect(await keyCount()).toBe(0);
  });

  test("snapshot and restore: what was there opens again, what came after is gone", async () => {
    const KeyId = await newKey();
    const CiphertextBlob = await encrypt(KeyId);
    const snapshot = aws.snapshot();
    const later = await newKey();
    await admin.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    aws.restore(snapshot);
    const { Plaintext } = await admin.send(new DecryptCommand({ CiphertextBlob }));
    expect(Buffer.from(Plaintext ?? []).toString()).toBe("kept");
    await expect(admin.send(new DescribeKeyCommand({ KeyId: later }))).rejects.toThrow("does not exist");
    aws.restore(snapshot);
    expect(await keyCount()).toBe(1);
  });
});

describe("the clock", () => {
  test("a year on, the key has rotated, and old ciphertext opens", async () => {
    const KeyId = await newKey();
    const CiphertextBlob = await encrypt(KeyId);
    await admin.send(new EnableKeyRotationCommand({ KeyId }));
    const rotations = async () => (await admin.send(new ListKeyRotationsCommand({ KeyId }))).Rotations?.length;
    aws.advanceClock(365 * DAY_MS - 1);
    expect(await rotations()).toBe(0);
    aws.advanceClock(1);
    expect(await rotations()).toBe(1);
    await admin.send(new DecryptCommand({ CiphertextBlob }));
  });

  test("thirty days on, a key that was to be deleted is gone; a day before it was there", async () => {
    const KeyId = await newKey();
    await admin.send(new ScheduleKeyDeletionCommand({ KeyId }));
    aws.advanceClock(30 * DAY_MS - 1);
    expect((await admin.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyState).toBe("PendingDeletion");
    aws.advanceClock(1);
    await expect(admin.send(new DescribeKeyCommand({ KeyId }))).rejects.toMatchObject({ name: "NotFoundException" });
  });

  test("clients live on in their own time: signatures and documents are as fresh as before", async () => {
    const once = clientOf(aws, "admin");
    once.config.maxAttempts = async () => 1;
    once.config.systemClockOffset = NOW.getTime() - Date.now();
    const KeyId = await newKey();
    const CiphertextBlob = await encrypt(KeyId);
    aws.advanceClock(400 * DAY_MS);
    const Recipient = recipientOf(rsaPair());
    const answer = await once.send(new DecryptCommand({ CiphertextBlob, Recipient }));
    expect(answer.CiphertextForRecipient?.length).toBeGreaterThan(0);
    expect(aws.status().now).toBe(new Date(NOW.getTime() + 400 * DAY_MS).toISOString());
    once.destroy();
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("does not advance by %d", (ms) => {
    expect(() => aws.advanceClock(ms)).toThrow(RangeError);
  });
});

describe("status", () => {
  test("says who is there by access key id, and no secret", async () => {
    await newKey();
    const status = aws.status();
    expect(status).toMatchObject({ trust: "mock", url: aws.url, keys: 1, state: "memory", trailRecords: 1 });
    const [owner] = status.accounts;
    const found = owner?.principals.find(({ arn }) => arn.endsWith("role/admin"));
    expect(found?.accessKeyIds).toEqual([identities.admin.accessKeyId]);
    for (const secret of [identities.admin.secretAccessKey, identities.admin.sessionToken])
      expect(JSON.stringify(status)).not.toContain(secret);
  });
});
