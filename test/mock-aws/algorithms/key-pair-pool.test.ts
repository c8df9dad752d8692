import { createPrivateKey } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { KeyPairPool, type KeyPairPoolOptions } from "../../../mock/aws/kms/algorithms/index.ts";

const pools: KeyPairPool[] = [];
afterEach(() => {
  for (const pool of pools.splice(0)) pool.close();
});

function newPool(options: KeyPairPoolOptions = {}): KeyPairPool {
  const pool = new KeyPairPool(options);
  pools.push(pool);
  return pool;
}

function modulusBits(material: Uint8Array | undefined): number | undefined {
  const key = createPrivateKey({ key: Buffer.from(material ?? []), format: "der", type: "pkcs8" });
  return key.asymmetricKeyDetails?.modulusLength;
}

describe("KeyPairPool", () => {
  // First, while no thread of another test is still on its way out.
  test("its thread does not keep the process alive, at work or idle", async () => {
    const ports = (): number => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    const before = ports();
    const pool = newPool({ sizes: { RSA_2048: 1 } });
    pool.warm(["RSA_2048"]);
    expect(ports()).toBe(before);
    await pool.settled();
    expect(pool.ready).toBe(1);
    expect(ports()).toBe(before);
  });

  test("makes nothing before it is asked", async () => {
    const pool = newPool();
    await pool.settled();
    expect(pool.ready).toBe(0);
    expect(pool.counts).toEqual({ served: 0, generatedOnDemand: 0 });
  });

  test("the first is made on demand, the next are ready, each another, and what was taken is made again", async () => {
    const pool = newPool();
    const first = await pool.take("RSA_2048");
    await pool.settled();
    expect(pool.ready).toBe(2);
    const next = [await pool.take("RSA_2048"), await pool.take("RSA_2048")];
    expect(pool.counts).toEqual({ served: 2, generatedOnDemand: 1 });
    for (const material of [first, ...next]) expect(modulusBits(material)).toBe(2048);
    expect(new Set([first, ...next].map((material) => Buffer.from(material ?? []).toString("hex"))).size).toBe(3);
    await pool.settled();
    expect(pool.ready).toBe(2);
  });

  test("warmed specs are ready before the first use, in their numbers and no more", async () => {
    const pool = newPool({ sizes: { RSA_2048: 1, RSA_3072: 1 } });
    pool.warm(["RSA_2048", "RSA_3072"]);
    pool.warm(["RSA_2048"]);
    await pool.settled();
    expect(pool.ready).toBe(2);
    expect(modulusBits(await pool.take("RSA_3072"))).toBe(3072);
    expect(pool.counts).toEqual({ served: 1, generatedOnDemand: 0 });
  });

  test("specs other than RSA need no pool", () => {
    const pool = newPool();
    expect(pool.take("ECC_NIST_P256")).toBeUndefined();
    expect(pool.take("SYMMETRIC_DEFAULT")).toBeUndefined();
    expect(pool.counts).toEqual({ served: 0, generatedOnDemand: 0 });
  });

  test("closed, it drops what is ready and makes pairs on demand only", async () => {
    const pool = newPool({ sizes: { RSA_2048: 1 } });
    pool.warm(["RSA_2048"]);
    await pool.settled();
    pool.warm(["RSA_3072"]);
    pool.close();
    await pool.settled();
    expect(pool.ready).toBe(0);
    expect(modulusBits(await pool.take("RSA_2048"))).toBe(2048);
    expect(pool.counts).toEqual({ served: 0, generatedOnDemand: 1 });
    await pool.settled();
    expect(pool.ready).toBe(0);
  });
});
