/** Rotation: by the calendar, on demand, caught up with; old ciphertexts open. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { NOW } from "../testbed.ts";
import { DAY_MS, type KmsBed, outcome, present, refusal, startKmsBed } from "./bed.ts";

const Plaintext = utf8("x");

async function newKey(bed: KmsBed, input = {}): Promise<string> {
  return present((await bed.as("admin").createKey(input)).KeyMetadata?.Arn);
}
async function currentOf(bed: KmsBed, KeyId: string): Promise<string> {
  return present((await bed.as("admin").describeKey({ KeyId })).KeyMetadata?.CurrentKeyMaterialId);
}
const dayAfter = (days: number): Date => new Date(NOW.getTime() + days * DAY_MS);

describe("automatic", () => {
  test("each period has its material; a jump over many catches up with each, at its date", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await newKey(bed);
    await kms.enableKeyRotation({ KeyId, RotationPeriodInDays: 90 });
    expect(await kms.getKeyRotationStatus({ KeyId })).toMatchObject({
      ...{ KeyId, KeyRotationEnabled: true, RotationPeriodInDays: 90, NextRotationDate: dayAfter(90) },
    });
    const first = await currentOf(bed, KeyId);
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext });
    bed.aws.setClockOffsetMs(90 * DAY_MS - 1);
    expect(await currentOf(bed, KeyId)).toBe(first);
    bed.aws.setClockOffsetMs(400 * DAY_MS);
    const opened = await kms.decrypt({ CiphertextBlob });
    expect(opened.KeyMaterialId).toBe(first);
    const { Rotations } = await kms.listKeyRotations({ KeyId });
    expect(Rotations?.map(({ RotationDate, RotationType }) => [RotationDate, RotationType])).toEqual(
      [90, 180, 270, 360].map((days) => [dayAfter(days), "AUTOMATIC"]),
    );
    expect((await kms.getKeyRotationStatus({ KeyId })).NextRotationDate).toEqual(dayAfter(450));
    const all = await kms.listKeyRotations({ KeyId, IncludeKeyMaterial: "ALL_KEY_MATERIAL" });
    expect(all.Rotations?.map(({ KeyMaterialState }) => KeyMaterialState)).toEqual([
      "NON_CURRENT",
      "NON_CURRENT",
      "NON_CURRENT",
      "NON_CURRENT",
      "CURRENT",
    ]);
    expect(all.Rotations?.at(-1)?.KeyMaterialId).toBe(await currentOf(bed, KeyId));
    const page = await kms.listKeyRotations({ KeyId, Limit: 3 });
    const rest = await kms.listKeyRotations({ KeyId, Limit: 3, Marker: page.NextMarker });
    expect([page.Rotations?.length, page.Truncated, rest.Rotations?.length, rest.Truncated]).toEqual([
      3,
      true,
      1,
      false,
    ]);
    await kms.disableKeyRotation({ KeyId });
    bed.aws.setClockOffsetMs(900 * DAY_MS);
    expect((await kms.listKeyRotations({ KeyId })).Rotations?.length).toBe(4);
  });

  test("a disabled key does not rotate; enabled again it does at once, and once", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await newKey(bed);
    await kms.enableKeyRotation({ KeyId, RotationPeriodInDays: 90 });
    await kms.disableKey({ KeyId });
    bed.aws.setClockOffsetMs(300 * DAY_MS);
    expect((await kms.listKeyRotations({ KeyId })).Rotations).toEqual([]);
    await kms.enableKey({ KeyId });
    const { Rotations } = await kms.listKeyRotations({ KeyId });
    expect(Rotations?.map(({ RotationDate }) => RotationDate)).toEqual([dayAfter(300)]);
    expect((await kms.getKeyRotationStatus({ KeyId })).NextRotationDate).toEqual(dayAfter(390));
  });

  test("a key that is going does not rotate and says so; taken back it rotates again", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await newKey(bed);
    await kms.enableKeyRotation({ KeyId, RotationPeriodInDays: 90 });
    bed.aws.setClockOffsetMs(80 * DAY_MS);
    await kms.scheduleKeyDeletion({ KeyId, PendingWindowInDays: 30 });
    bed.aws.setClockOffsetMs(100 * DAY_MS);
    expect((await kms.getKeyRotationStatus({ KeyId })).KeyRotationEnabled).toBe(false);
    await kms.cancelKeyDeletion({ KeyId });
    await kms.enableKey({ KeyId });
    expect((await kms.listKeyRotations({ KeyId })).Rotations?.map(({ RotationDate }) => RotationDate)).toEqual([
      dayAfter(100),
    ]);
  });

  test.each([89, 2561])("a period of %i days is none", async (RotationPeriodInDays) => {
    await using bed = await startKmsBed();
    const KeyId = await newKey(bed);
    const call = bed.as("admin").enableKeyRotation({ KeyId, RotationPeriodInDays });
    expect(await outcome(call)).toBe("ValidationException");
  });

  test("other kinds of key do not rotate", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const mac = await newKey(bed, { KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" });
    for (const call of [kms.enableKeyRotation({ KeyId: mac }), kms.rotateKeyOnDemand({ KeyId: mac })])
      expect(await outcome(call)).toBe("UnsupportedOperationException");
    expect((await kms.getKeyRotationStatus({ KeyId: mac })).KeyRotationEnabled).toBe(false);
  });
});

describe("on demand", () => {
  test("at once, without touching the schedule, and not shortly before it; 25 times", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await newKey(bed);
    await kms.enableKeyRotation({ KeyId, RotationPeriodInDays: 90 });
    const first = await currentOf(bed, KeyId);
    expect((await kms.rotateKeyOnDemand({ KeyId })).KeyId).toBe(KeyId);
    expect(await currentOf(bed, KeyId)).not.toBe(first);
    expect((await kms.getKeyRotationStatus({ KeyId })).NextRotationDate).toEqual(dayAfter(90));
    bed.aws.setClockOffsetMs(90 * DAY_MS - 20 * 60_000);
    expect(await outcome(kms.rotateKeyOnDemand({ KeyId }))).toBe("ConflictException");
    bed.aws.setClockOffsetMs(90 * DAY_MS);
    for (let i = 0; i < 24; i++) await kms.rotateKeyOnDemand({ KeyId });
    expect(await refusal(kms.rotateKeyOnDemand({ KeyId }))).toEqual({
      name: "LimitExceededException",
      message: `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${KeyId}`,
    });
  });
});
