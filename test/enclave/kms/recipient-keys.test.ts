/**
 * The lifetime of recipient keys: by uses, by age, and never made while a call waits.
 */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { RecipientKey } from "../../../enclave/kms/recipient.ts";
import { createRecipientKeys, type RecipientKeysOptions } from "../../../enclave/kms/recipient-keys.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A pool whose keys are numbers, made when the test says so. */
function numbered(options: RecipientKeysOptions = {}) {
  const orders: { finish(): void; fail(error: Error): void }[] = [];
  let nowMs = 0;
  let asked = 0;
  const makeKey = (): Promise<RecipientKey> =>
    new Promise((resolve, reject) => {
      const publicKey = Uint8Array.of(asked++);
      orders.push({ finish: () => resolve({ privateKey, publicKey }), fail: reject });
    });
  const keys = createRecipientKeys({ monotonicMs: () => nowMs, makeKey, ...options });
  return {
    keys,
    take: async (): Promise<number> => (await keys.take()).publicKey[0] ?? -1,
    /** Lets keys be made until nobody makes one. */
    make: async (): Promise<void> => {
      for (await settle(); orders.length > 0; await settle()) orders.shift()?.finish();
    },
    fail: (error: Error) => orders.shift()?.fail(error),
    at: (ms: number) => {
      nowMs = ms;
    },
    underWay: () => orders.length,
    asked: () => asked,
  };
}

describe("a pool of recipient keys", () => {
  test("a pair serves its uses, then the next takes over", async () => {
    const pool = numbered({ maxUses: 3, poolSize: 3 });
    await pool.make();
    const taken: number[] = [];
    for (let i = 0; i < 7; i++) taken.push(await pool.take());
    expect(taken).toEqual([0, 0, 0, 1, 1, 1, 2]);
  });

  test("a pair serves until its age from its first use, not from when it was made", async () => {
    const pool = numbered({ maxAgeMs: 1_000 });
    await pool.make();
    pool.at(50_000);
    const taken: number[] = [];
    for (const atMs of [50_000, 50_999, 51_000, 51_999]) {
      pool.at(atMs);
      taken.push(await pool.take());
      await pool.make();
    }
    expect(taken).toEqual([0, 0, 1, 1]);
  });

  test("with one use each, no pair is given twice", async () => {
    const pool = numbered({ maxUses: 1, poolSize: 4 });
    await pool.make();
    expect(await Promise.all([pool.take(), pool.take(), pool.take(), pool.take()])).toEqual([0, 1, 2, 3]);
  });

  test("warm, no call waits for a pair: the one that follows is made beside", async () => {
    const pool = numbered({ maxUses: 1, poolSize: 2 });
    await pool.make();
    expect(pool.asked()).toBe(2);
    expect(await pool.take()).toBe(0);
    await settle();
    expect([pool.asked(), pool.underWay()], "begun, and not waited for").toEqual([3, 1]);
    expect(await pool.take()).toBe(1);
  });

  test("pairs are made one at a time", async () => {
    const pool = numbered({ poolSize: 8 });
    await settle();
    expect(pool.underWay()).toBe(1);
  });

  test("cold, calls share the first pair, and ready tells when it is there", async () => {
    const pool = numbered();
    let isReady = false;
    const ready = pool.keys.ready().then(() => {
      isReady = true;
    });
    await settle();
    expect(isReady).toBe(false);
    const calls = [pool.take(), pool.take()];
    await pool.make();
    expect(await Promise.all(calls)).toEqual([0, 0]);
    await ready;
  });

  test("a pair that could not be made is the failure of who waits for it, and of nobody after", async () => {
    const pool = numbered();
    await settle();
    const call = pool.take();
    pool.fail(new Error("no entropy"));
    await expect(call).rejects.toThrow("no entropy");
    await pool.make();
    expect(await pool.take()).toBe(1);
  });

  test("by default they are RSA-2048 with the public key as KMS wants it", async () => {
    const { privateKey: made, publicKey } = await createRecipientKeys({ poolSize: 1 }).take();
    expect(made.asymmetricKeyDetails).toEqual({ modulusLength: 2048, publicExponent: 65_537n });
    expect(publicKey.length).toBe(294);
  });

  test.each([
    { poolSize: 0 },
    { poolSize: 65 },
    { poolSize: 1.5 },
    { maxUses: 0 },
    { maxUses: 100_001 },
    { maxAgeMs: 0 },
    { maxAgeMs: Number.NaN },
  ])("%o is a mistake", (options) => {
    expect(() => createRecipientKeys({ makeKey: () => Promise.reject(new Error("unused")), ...options })).toThrow(
      RangeError,
    );
  });

  test("a clock that gives no number is a mistake", async () => {
    const keys = createRecipientKeys({ poolSize: 1, monotonicMs: () => Number.NaN });
    await expect(keys.take()).rejects.toThrow(TypeError);
  });
});
