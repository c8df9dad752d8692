/** Multi-Region keys: one key in many Regions, what they share, which of them is the primary, and how they go. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { arnOf, keyPolicy, NOW, REGION } from "../testbed.ts";
import { DAY_MS, type KmsBed, outcome, present, refusal, startKmsBed } from "./bed.ts";

const Plaintext = utf8("x");
const OTHER_REGION = "us-east-1";
let bed: KmsBed;
const admin = (region = REGION) => bed.as("admin", region);
const newKey = async (input = {}): Promise<string> =>
  present((await admin().createKey({ MultiRegion: true, ...input })).KeyMetadata?.Arn);
const inOther = (arn: string): string => arn.replace(REGION, OTHER_REGION);
const describeIn = async (KeyId: string, region = REGION) => (await admin(region).describeKey({ KeyId })).KeyMetadata;

beforeAll(async () => {
  bed = await startKmsBed({ regions: [REGION, OTHER_REGION, "cn-north-1"] });
});
afterAll(() => bed[Symbol.asyncDispose]());

test("a replica has the key's id and material, and a policy, tags and description of its own", async () => {
  const KeyId = await newKey({ Description: "first" });
  expect(KeyId).toMatch(/key\/mrk-[0-9a-f]{32}$/);
  const Tags = [{ TagKey: "a", TagValue: "b" }];
  const made = await admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION, Description: "second", Tags });
  const replica = inOther(KeyId);
  expect(made.ReplicaKeyMetadata).toMatchObject({ Arn: replica, KeyState: "Creating", Description: "second" });
  expect(made.ReplicaTags).toEqual(Tags);
  const configuration = {
    MultiRegionKeyType: "PRIMARY",
    PrimaryKey: { Arn: KeyId, Region: REGION },
    ReplicaKeys: [{ Arn: replica, Region: OTHER_REGION }],
  };
  expect((await describeIn(KeyId))?.MultiRegionConfiguration).toEqual(configuration);
  expect(await describeIn(replica, OTHER_REGION)).toMatchObject({
    KeyState: "Enabled",
    MultiRegionConfiguration: { ...configuration, MultiRegionKeyType: "REPLICA" },
  });
  const { CiphertextBlob } = await admin().encrypt({ KeyId, Plaintext });
  const opened = await admin(OTHER_REGION).decrypt({ CiphertextBlob });
  expect(opened.KeyId).toBe(replica);
  expect((await admin(OTHER_REGION).decrypt({ CiphertextBlob, KeyId: replica })).Plaintext).toEqual(opened.Plaintext);
  await admin(OTHER_REGION).disableKey({ KeyId: replica });
  expect(await outcome(admin(OTHER_REGION).decrypt({ CiphertextBlob }))).toBe("DisabledException");
  await admin().decrypt({ CiphertextBlob });
  expect((await admin().listResourceTags({ KeyId })).Tags).toEqual([]);
});

test.each([
  ["a key of one Region", { MultiRegion: false }, OTHER_REGION, "UnsupportedOperationException"],
  ["its own Region", {}, REGION, "ValidationException"],
  ["a Region that is not here", {}, "eu-west-1", "ValidationException"],
  ["another partition's Region", {}, "cn-north-1", "ValidationException"],
])("ReplicateKey: %s", async (_why, input, ReplicaRegion, name) => {
  expect(await outcome(admin().replicateKey({ KeyId: await newKey(input), ReplicaRegion }))).toBe(name);
});

test("only the primary is replicated, and once into a Region; the replica's policy may not lock out", async () => {
  const KeyId = await newKey();
  const Policy = keyPolicy().replace("kms:*", "kms:Get*");
  const locked = admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION, Policy });
  expect(await outcome(locked)).toBe("MalformedPolicyDocumentException");
  await admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  const again = admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  expect(await outcome(again)).toBe("AlreadyExistsException");
  const back = admin(OTHER_REGION).replicateKey({ KeyId: inOther(KeyId), ReplicaRegion: REGION });
  expect(await refusal(back)).toEqual({
    name: "UnsupportedOperationException",
    message: `${inOther(KeyId)} is not a multi-region primary key.`,
  });
});

test("rotation is set on the primary and holds for all", async () => {
  const KeyId = await newKey();
  await admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  const onReplica = admin(OTHER_REGION).enableKeyRotation({ KeyId: inOther(KeyId) });
  expect(await outcome(onReplica)).toBe("UnsupportedOperationException");
  await admin().enableKeyRotation({ KeyId });
  await admin().rotateKeyOnDemand({ KeyId });
  const replica = await describeIn(inOther(KeyId), OTHER_REGION);
  expect(replica?.CurrentKeyMaterialId).toBe((await describeIn(KeyId))?.CurrentKeyMaterialId);
  const status = await admin(OTHER_REGION).getKeyRotationStatus({ KeyId: inOther(KeyId) });
  expect(status.KeyRotationEnabled).toBe(true);
});

test("the primary changes, with permission on both; while it does, keys are used and not managed", async () => {
  await using slow = await startKmsBed({ kms: { primaryRegionUpdateMs: 1000, replicationMs: 1000 } });
  const [here, there] = [slow.as("admin"), slow.as("admin", OTHER_REGION)];
  const KeyId = present((await here.createKey({ MultiRegion: true })).KeyMetadata?.Arn);
  const replica = inOther(KeyId);
  const update = () => here.updatePrimaryRegion({ KeyId, PrimaryRegion: OTHER_REGION });
  expect(await outcome(update())).toBe("NotFoundException");
  await here.replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  expect(await refusal(there.encrypt({ KeyId: replica, Plaintext }))).toEqual({
    name: "KMSInvalidStateException",
    message: `${replica} is creating.`,
  });
  expect(await outcome(update())).toBe("KMSInvalidStateException");
  slow.aws.setClockOffsetMs(1000);
  const deny = { Effect: "Deny", Principal: "*", Action: "kms:UpdatePrimaryRegion", Resource: "*" };
  await there.putKeyPolicy({ KeyId: replica, Policy: keyPolicy(deny) });
  expect(await outcome(update())).toBe("AccessDeniedException");
  await there.putKeyPolicy({ KeyId: replica, Policy: keyPolicy() });
  await update();
  for (const [kms, id] of [
    [here, KeyId],
    [there, replica],
  ] as const) {
    expect((await kms.describeKey({ KeyId: id })).KeyMetadata?.KeyState).toBe("Updating");
    await kms.encrypt({ KeyId: id, Plaintext });
    const refused = await refusal(kms.disableKey({ KeyId: id }));
    expect(refused).toEqual({ name: "KMSInvalidStateException", message: `${id} is updating.` });
  }
  slow.aws.setClockOffsetMs(2000);
  const { KeyMetadata } = await there.describeKey({ KeyId: replica });
  expect(KeyMetadata).toMatchObject({
    KeyState: "Enabled",
    MultiRegionConfiguration: { MultiRegionKeyType: "PRIMARY" },
  });
  expect(await outcome(update())).toBe("UnsupportedOperationException");
});

test("a primary waits for its replicas to go, then for its own window, however far the clock jumps", async () => {
  await using own = await startKmsBed();
  const [here, there] = [own.as("admin"), own.as("admin", OTHER_REGION)];
  const KeyId = present((await here.createKey({ MultiRegion: true })).KeyMetadata?.Arn);
  const replica = inOther(KeyId);
  await here.replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  const waiting = await here.scheduleKeyDeletion({ KeyId, PendingWindowInDays: 7 });
  expect(waiting).toMatchObject({ KeyState: "PendingReplicaDeletion", PendingWindowInDays: 7 });
  expect(waiting.DeletionDate).toBeUndefined();
  expect(await outcome(here.encrypt({ KeyId, Plaintext }))).toBe("KMSInvalidStateException");
  await there.encrypt({ KeyId: replica, Plaintext });
  await there.scheduleKeyDeletion({ KeyId: replica, PendingWindowInDays: 10 });
  own.aws.setClockOffsetMs(10 * DAY_MS);
  const { KeyMetadata } = await here.describeKey({ KeyId });
  const DeletionDate = new Date(NOW.getTime() + 17 * DAY_MS);
  expect(KeyMetadata).toMatchObject({ KeyState: "PendingDeletion", DeletionDate });
  own.aws.setClockOffsetMs(0);
  own.aws.setClockOffsetMs(17 * DAY_MS);
  expect(await outcome(here.describeKey({ KeyId }))).toBe("NotFoundException");
});

test("both windows can pass while nobody looks", async () => {
  await using own = await startKmsBed();
  const [here, there] = [own.as("admin"), own.as("admin", OTHER_REGION)];
  const KeyId = present((await here.createKey({ MultiRegion: true })).KeyMetadata?.Arn);
  await here.replicateKey({ KeyId, ReplicaRegion: OTHER_REGION });
  await here.scheduleKeyDeletion({ KeyId, PendingWindowInDays: 7 });
  await there.scheduleKeyDeletion({ KeyId: inOther(KeyId), PendingWindowInDays: 7 });
  own.aws.setClockOffsetMs(100 * DAY_MS);
  expect(await outcome(here.describeKey({ KeyId }))).toBe("NotFoundException");
});

test("policies see that a key is one of many, which it is, and where a replica is to be", async () => {
  const rule = (Action: string, Condition: object) => ({
    ...{ Effect: "Deny", Principal: { AWS: arnOf("admin") }, Action, Resource: "*", Condition },
  });
  const Policy = keyPolicy(
    rule("kms:Encrypt", { StringEquals: { "kms:MultiRegionKeyType": "PRIMARY" } }),
    rule("kms:ReplicateKey", { StringEquals: { "kms:ReplicaRegion": OTHER_REGION } }),
  );
  const KeyId = await newKey({ Policy });
  expect(await outcome(admin().encrypt({ KeyId, Plaintext }))).toBe("AccessDeniedException");
  expect(await outcome(admin().replicateKey({ KeyId, ReplicaRegion: OTHER_REGION }))).toBe("AccessDeniedException");
});
