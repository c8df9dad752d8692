/** The clock: how far it goes, what goes with it, and that a restart does not turn it back. */
import { constants, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KMS } from "@aws-sdk/client-kms";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ClockRow, EmulatorClock } from "../../mock/aws/clock.ts";
import type { MockAws } from "../../mock/aws/emulator.ts";
import type { MockAwsOptions } from "../../mock/aws/options.ts";
import { Database } from "../../mock/aws/state/database.ts";
import { allow, identities, NOW, OWNER, options, REGION, startTestbed } from "./testbed.ts";

const DAY_MS = 86_400_000;
const YEARS_100_MS = 36_525 * DAY_MS;

describe("EmulatorClock", () => {
  const make = (): EmulatorClock => new EmulatorClock(() => NOW, Database.inMemory().table<ClockRow>("clock"));

  test("advances for itself, and is set for all", () => {
    const clock = make();
    clock.advance(DAY_MS);
    clock.advance(1);
    clock.set(-5);
    expect(clock.now().getTime() - NOW.getTime()).toBe(DAY_MS + 1 - 5);
    expect(clock.clientTime(clock.now()).getTime() - NOW.getTime()).toBe(-5);
    clock.reset();
    expect(clock.now().getTime() - NOW.getTime()).toBe(DAY_MS + 1);
  });

  test("a hundred years in all, and not a millisecond more", () => {
    const clock = make();
    clock.advance(YEARS_100_MS - 1);
    clock.advance(1);
    expect(() => clock.advance(1)).toThrow(RangeError);
    clock.advance(0);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("%s is no advance", (ms) => {
    expect(() => make().advance(ms)).toThrow(RangeError);
  });
});

const trusting = {
  type: "role",
  name: "trusting",
  identityPolicies: [],
  credentials: [],
  trustPolicy: {
    Version: "2012-10-17",
    Statement: { Effect: "Allow", Principal: { AWS: OWNER }, Action: "sts:AssumeRole" },
  },
} as const;
const accounts = options().accounts.map((account) => ({
  ...account,
  principals: [
    ...account.principals.map((each) =>
      each.name === "admin" ? { ...each, identityPolicies: [allow(["kms:*", "sts:*"])] } : each,
    ),
    ...(account.accountId === OWNER ? [trusting] : []),
  ],
}));

/** Its clock stands still, and clients' need not agree with it. */
const startBed = (overrides: Partial<MockAwsOptions> = {}): Promise<MockAws> =>
  startTestbed({ accounts, maxClockSkewMs: Number.MAX_SAFE_INTEGER, ...overrides });

function clientsOf(aws: MockAws, credentials = identities.admin): { kms: KMS; sts: STSClient } {
  const requestHandler = new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) });
  const config = { endpoint: aws.url, region: REGION, credentials, maxAttempts: 1, requestHandler };
  return { kms: new KMS(config), sts: new STSClient(config) };
}

/** A key whose material has gone by the calendar, and a session that has run out. */
async function liveALittle(aws: MockAws) {
  const { kms, sts } = clientsOf(aws);
  const { KeyMetadata: imported } = await kms.createKey({ Origin: "EXTERNAL" });
  const KeyId = imported?.KeyId;
  const { KeyMetadata: doomed } = await kms.createKey({});
  const wrapping = { WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" } as const;
  const { PublicKey, ImportToken } = await kms.getParametersForImport({ KeyId, ...wrapping });
  const key = createPublicKey({ key: Buffer.from(PublicKey ?? []), format: "der", type: "spki" });
  const padding = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  await kms.importKeyMaterial({
    ...{ KeyId, ImportToken, EncryptedKeyMaterial: publicEncrypt(padding, randomBytes(32)) },
    ...{ ExpirationModel: "KEY_MATERIAL_EXPIRES", ValidTo: new Date(NOW.getTime() + 2 * DAY_MS) },
  });
  const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext: Buffer.from("x") });
  await kms.scheduleKeyDeletion({ KeyId: doomed?.KeyId, PendingWindowInDays: 7 });
  const RoleArn = `arn:aws:iam::${OWNER}:role/trusting`;
  const { Credentials: made } = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "old" }));
  const session = {
    accessKeyId: made?.AccessKeyId ?? "",
    secretAccessKey: made?.SecretAccessKey ?? "",
    sessionToken: made?.SessionToken ?? "",
  };
  return { CiphertextBlob, doomed: doomed?.KeyId, session };
}

async function outcomes(aws: MockAws, { CiphertextBlob, doomed, session }: Awaited<ReturnType<typeof liveALittle>>) {
  const { kms } = clientsOf(aws);
  const { sts } = clientsOf(aws, session);
  const calls = [
    kms.decrypt({ CiphertextBlob }),
    kms.describeKey({ KeyId: doomed }),
    sts.send(new GetCallerIdentityCommand({})),
  ];
  return Promise.all(
    calls.map((call) =>
      call.then(
        () => "ok",
        (error: Error) => error.name,
      ),
    ),
  );
}

describe("advanced by eight days", () => {
  let directory: string;
  beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "cloister-clock-"))));
  afterEach(() => rm(directory, { recursive: true }));
  const start = (): Promise<MockAws> =>
    startBed({ state: { directory, secret: { kind: "passphrase", passphrase: "correct horse" } } });
  const GONE = ["KMSInvalidStateException", "NotFoundException", "ExpiredToken"];

  test("what is gone stays gone over a restart, and so does the time", async () => {
    const first = await start();
    const made = await liveALittle(first);
    expect(await outcomes(first, made)).toEqual(["ok", "ok", "ok"]);
    first.advanceClock(8 * DAY_MS);
    await first.flush();
    const now = first.status().now;
    await first.close();

    await using second = await start();
    expect(second.status().now).toBe(now);
    expect(await outcomes(second, made)).toEqual(GONE);
    second.advanceClock(1);
    second.reset(); // to its own start
    expect(second.status().now).toBe(now);
  });

  test("in memory: a snapshot brings back the time that it was, and reset the first", async () => {
    await using aws = await startBed();
    const made = await liveALittle(aws);
    const before = aws.snapshot();
    aws.advanceClock(8 * DAY_MS);
    expect(await outcomes(aws, made)).toEqual(GONE);
    aws.restore(before);
    expect(await outcomes(aws, made)).toEqual(["ok", "ok", "ok"]);
    aws.advanceClock(DAY_MS);
    aws.reset();
    expect(aws.status().now).toBe(NOW.toISOString());
  });
});

describe("a hundred years at once", () => {
  test("cost a rotation for each period, in one change of the key", async () => {
    await using aws = await startBed();
    const { kms } = clientsOf(aws);
    const { KeyMetadata: key } = await kms.createKey({});
    await kms.enableKeyRotation({ KeyId: key?.KeyId, RotationPeriodInDays: 90 });
    aws.advanceClock(YEARS_100_MS);
    const start = performance.now();
    await kms.describeKey({ KeyId: key?.KeyId });
    expect(performance.now() - start).toBeLessThan(1_000);
    const pages = await kms.listKeyRotations({ KeyId: key?.KeyId, Limit: 1_000 });
    expect(pages.Rotations).toHaveLength(Math.floor(36_525 / 90));
  });

  test("more than a thousand that are due are made up for a thousand at a look", async () => {
    await using aws = await startBed();
    const { kms } = clientsOf(aws);
    const { KeyMetadata: key } = await kms.createKey({});
    const KeyId = key?.KeyId;
    await kms.enableKeyRotation({ KeyId, RotationPeriodInDays: 90 });
    aws.setClockOffsetMs(2_500 * 90 * DAY_MS);
    const rotated = async (): Promise<number> => {
      const { NextRotationDate } = await kms.getKeyRotationStatus({ KeyId });
      return ((NextRotationDate?.getTime() ?? 0) - NOW.getTime()) / (90 * DAY_MS) - 1;
    };
    expect([await rotated(), await rotated(), await rotated(), await rotated()]).toEqual([1_000, 2_000, 2_500, 2_500]);
  });
});
