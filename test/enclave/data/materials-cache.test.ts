/** The cache of data keys: what is shared, for how long, and what is left of a key. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeHeapSnapshot } from "node:v8";
import { AlgorithmSuiteIdentifier, CommitmentPolicy, NodeAlgorithmSuite } from "@aws-crypto/client-node";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createMaterialsCache, type MaterialsCacheOptions } from "../../../enclave/data/materials-cache.ts";
import { isAllZero } from "../../../shared/bytes.ts";
import { openStream } from "../../../shared/envelope/open-stream.ts";
import { sealStream } from "../../../shared/envelope/seal-stream.ts";
import { open, seal } from "../../../shared/envelope/sealed.ts";
import { collect, context, type FakeKms, fakeKms, KEY, OTHER_KEY } from "../../envelope/bed.ts";

const MAX_AGE_MS = 1000;
const signed = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384;
const unsigned = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;

function bed(overrides: Partial<MaterialsCacheOptions> = {}) {
  const clock = { now: 5000 };
  const kms = fakeKms();
  const options = { maxAgeMs: MAX_AGE_MS, capacity: 10, partition: "a", monotonicMs: () => clock.now, ...overrides };
  const cache = createMaterialsCache(options);
  const access = { kms, keyArn: KEY, context, materials: cache, dataset: "x" } as const;
  return { clock, kms, cache, access, once: (size = 10) => seal(new Uint8Array(size), access) };
}
const calls = ({ calls: { generate, decrypt } }: FakeKms): number => generate + decrypt;

/** The memory that cached keys lie in, as it is now. */
function watchKeys(): () => readonly Buffer[] {
  const spy = vi.spyOn(Buffer, "allocUnsafeSlow");
  return () => spy.mock.results.map(({ value }) => value as Buffer);
}
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("what the cache gives", () => {
  test("seals and opens like KMS itself, with one call for each direction", async () => {
    const { kms, access, cache } = bed();
    const plaintexts = [1, 2, 3].map((n) => new Uint8Array(randomBytes(n * 100)));
    const messages = [];
    for (const plaintext of plaintexts) messages.push(await seal(plaintext, access));
    for (const [i, message] of messages.entries()) {
      expect(await open(message, access)).toEqual(plaintexts[i]);
      expect(await open(message, { ...access, kms, materials: undefined } as never)).toEqual(plaintexts[i]);
    }
    expect(kms.calls).toEqual({ generate: 1, decrypt: 1 + 3 });
    expect(cache.stats()).toEqual({ hits: 4, misses: 2, joined: 0, uncached: 0, entries: 2 });
    expect(new Set(messages.map((message) => Buffer.from(message).subarray(3, 35).toString("hex"))).size).toBe(3);
  });

  test("a stream whose length is not said is not cached; one whose length is said is", async () => {
    const { kms, access, cache } = bed();
    for (const lengths of [{}, {}, { plaintextBytes: 10 }, { plaintextBytes: 10 }])
      await collect(sealStream([new Uint8Array(10)], { ...access, suite: "unsigned", ...lengths }));
    expect(kms.calls.generate).toBe(3);
    expect(cache.stats()).toMatchObject({ uncached: 2, hits: 1, misses: 1 });
  });
});

describe("limits", () => {
  test.each([
    [MAX_AGE_MS - 1, 1],
    [MAX_AGE_MS, 2],
    [MAX_AGE_MS + 1, 2],
  ])("H01: after %i ms there were %i calls", async (age, expected) => {
    const { clock, kms, once } = bed();
    await once();
    clock.now += age;
    await once();
    expect(calls(kms)).toBe(expected);
  });

  test("H01: a hit does not make a key younger, nor does an answer that took long", async () => {
    const { clock, kms, access, once } = bed();
    const { generateDataKey } = kms;
    kms.generateDataKey = async (input) => {
      clock.now += 900;
      return generateDataKey(input);
    };
    const message = await once();
    clock.now += 99;
    await once();
    expect(kms.calls.generate).toBe(1);
    clock.now += 1;
    await once();
    expect(kms.calls.generate).toBe(2);
    await open(message, access);
    clock.now += MAX_AGE_MS;
    await open(message, access);
    expect(kms.calls.decrypt).toBe(2);
  });

  test.each([1, 2, 5])("H02: %i messages under one key", async (maxMessages) => {
    const { kms, once } = bed({ maxMessages });
    for (let message = 1; message <= 11; message++) {
      await once();
      expect(kms.calls.generate).toBe(Math.ceil(message / maxMessages));
    }
  });

  test("H02: bytes exactly reached, and exceeded by the message that would be next", async () => {
    const { kms, once } = bed({ maxBytes: 100 });
    for (const [size, expected] of [
      [60, 1],
      [40, 1],
      [0, 1],
      [1, 2],
      [99, 2],
      [1, 3],
      [100, 4],
      [101, 5],
      [101, 6],
      [0, 6],
    ] as const) {
      await once(size);
      expect(kms.calls.generate, `${size}`).toBe(expected);
    }
  });

  test("H02: never more under one key, whatever the messages", async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 5 }), fc.boolean(), async (all, maxMessages, isAtOnce) => {
        const { access, cache } = bed({ maxBytes: 100, maxMessages });
        const used = new Map<string, { bytes: number; messages: number }>();
        const one = async (bytes: number): Promise<void> => {
          const manager = cache.managerFor(access);
          const request = {
            suite: new NodeAlgorithmSuite(unsigned),
            encryptionContext: context,
            plaintextLength: bytes,
          };
          const commitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT;
          const { encryptedDataKeys } = await manager.getEncryptionMaterials({ ...request, commitmentPolicy });
          const key = Buffer.from(encryptedDataKeys[0]?.encryptedDataKey ?? []).toString("hex");
          const sum = used.get(key) ?? { bytes: 0, messages: 0 };
          used.set(key, { bytes: sum.bytes + bytes, messages: sum.messages + 1 });
        };
        if (isAtOnce) await Promise.all(all.map(one));
        else for (const size of all) await one(size);
        for (const { bytes, messages } of used.values()) {
          expect(bytes).toBeLessThanOrEqual(100);
          expect(messages).toBeLessThanOrEqual(maxMessages);
        }
      }),
      { numRuns: process.env["SLOW"] ? 500 : 50 },
    );
  });

  test.each([0, Number.NaN, -1, Number.POSITIVE_INFINITY, 1.5, 2 ** 60, "5", undefined])(
    "H03: %s is no limit",
    (value) => {
      for (const field of ["maxAgeMs", "maxBytes", "maxMessages", "capacity"]) {
        if (value === undefined && field.startsWith("max") && field !== "maxAgeMs") continue; // absent: the default
        expect(() => bed({ [field]: value })).toThrow(
          expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID", details: expect.objectContaining({ field }) }),
        );
      }
    },
  );

  test("H03: the bounds themselves, and one beyond", () => {
    bed({ maxMessages: 2 ** 32, maxBytes: Number.MAX_SAFE_INTEGER, maxAgeMs: 2 ** 31 - 1 });
    for (const over of [{ maxMessages: 2 ** 32 + 1 }, { maxBytes: 2 ** 53 }, { maxAgeMs: 2 ** 31 }, { partition: "" }])
      expect(() => bed(over)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID" }));
  });

  test("H10: two keys in a cache of one: right, and never more than one held", async () => {
    const { kms, access, cache } = bed({ capacity: 1 });
    for (let round = 0; round < 5; round++)
      for (const dataset of ["x", "y"]) {
        const message = await seal(new Uint8Array(3), { ...access, context: { dataset } });
        expect(cache.stats().entries).toBe(1);
        expect(await open(message, { ...access, context: { dataset } })).toEqual(new Uint8Array(3));
        expect(cache.stats().entries).toBe(1);
      }
    expect(kms.calls).toEqual({ generate: 10, decrypt: 10 });
  });

  test("H10: what is used stays, what is not used goes", async () => {
    const { kms, access } = bed({ capacity: 2 });
    const use = (dataset: string) => seal(new Uint8Array(1), { ...access, context: { dataset } });
    for (const dataset of ["x", "y", "x", "z", "x"]) await use(dataset);
    expect(kms.calls.generate).toBe(3);
    await use("y");
    expect(kms.calls.generate).toBe(4);
  });

  test("H12: a clock of the wall that is set back gives no key more life", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { clock, kms, once } = bed();
    await once();
    vi.setSystemTime(Date.now() - 86_400_000);
    clock.now += MAX_AGE_MS;
    await once();
    expect(kms.calls.generate).toBe(2);
  });
});

describe("who shares", () => {
  const request = (suite: number, pairs: Readonly<Record<string, string>> = context) => ({
    suite: new NodeAlgorithmSuite(suite),
    encryptionContext: pairs,
    plaintextLength: 1,
    commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  });

  test("H04: another key, context, suite, client or partition is another data key", async () => {
    const { kms, cache, access } = bed();
    const elsewhere = fakeKms();
    const ask = (source: Pick<typeof cache, "managerFor">, over = {}, ...rest: Parameters<typeof request>) =>
      source.managerFor({ ...access, ...over }).getEncryptionMaterials(request(...rest));
    await ask(cache, {}, unsigned);
    await ask(cache, {}, unsigned);
    expect(calls(kms)).toBe(1);
    await ask(cache, { keyArn: OTHER_KEY }, unsigned);
    await ask(cache, {}, unsigned, { dataset: "y" });
    await ask(cache, {}, signed);
    await ask(cache.partition("b"), {}, unsigned);
    expect(calls(kms)).toBe(5);
    await ask(cache.partition("b"), {}, unsigned);
    expect(calls(kms)).toBe(5);
    await ask(cache, { kms: elsewhere }, unsigned);
    expect(calls(elsewhere)).toBe(1);
  });

  test("H04: one who may not ask KMS for a key does not get it from one who may", async () => {
    const { access, once } = bed();
    const message = await once();
    await open(message, access);
    const other = fakeKms();
    other.failure = Object.assign(new Error("no"), { name: "AccessDeniedException", $fault: "client" });
    await expect(open(message, { ...access, kms: other })).rejects.toBe(other.failure);
  });

  test("H04: under another commitment policy nothing is found or left", async () => {
    const { kms, cache, access } = bed();
    const manager = cache.managerFor(access);
    const loose = { ...request(unsigned), commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT };
    await manager.getEncryptionMaterials(loose);
    await manager.getEncryptionMaterials(loose);
    expect(calls(kms)).toBe(2);
    expect(cache.stats().entries).toBe(0);
  });

  test("H04: parts that join to the same text are not the same", async () => {
    const { kms, access } = bed({ capacity: 100 });
    for (const pairs of [{ a: "bc" }, { ab: "c" }, { a: "b", c: "" }, { a: "", bc: "" }, { a: "b", "": "c" }])
      if (!("" in pairs)) await seal(new Uint8Array(1), { ...access, context: pairs });
    expect(kms.calls.generate).toBe(4);
  });

  test("H05: the order of names is no difference, their case is one", async () => {
    const { kms, access } = bed();
    const use = (pairs: Readonly<Record<string, string>>) => seal(new Uint8Array(1), { ...access, context: pairs });
    await use({ a: "1", b: "2" });
    await use({ b: "2", a: "1" });
    expect(kms.calls.generate).toBe(1);
    await use({ A: "1", b: "2" });
    await use({ a: "1", b: "2", B: "2" });
    expect(kms.calls.generate).toBe(3);
  });

  test("H06: the same encrypted data keys under another context are another entry, in another order the same", async () => {
    const { kms, cache, access } = bed();
    const manager = cache.managerFor(access);
    const { encryptedDataKeys, encryptionContext } = await manager.getEncryptionMaterials(request(unsigned));
    const { encryptedDataKeys: others } = await manager.getEncryptionMaterials(request(unsigned, { dataset: "y" }));
    const [one, two] = [encryptedDataKeys[0] as never, others[0] as never];
    const opening = { suite: new NodeAlgorithmSuite(unsigned), encryptionContext };
    await manager.decryptMaterials({ ...opening, encryptedDataKeys: [one, two] });
    await manager.decryptMaterials({ ...opening, encryptedDataKeys: [two, one] });
    expect(kms.calls.decrypt).toBe(1);
    await manager.decryptMaterials({ ...opening, encryptedDataKeys: [one] });
    expect(kms.calls.decrypt).toBe(2);
    await expect(
      manager.decryptMaterials({ ...opening, encryptionContext: { dataset: "z" }, encryptedDataKeys: [one] }),
    ).rejects.toThrow();
    expect(kms.calls.decrypt).toBe(3);
  });

  test("H11: suites without key derivation are not cached", async () => {
    const { kms, cache, access } = bed();
    const manager = cache.managerFor(access);
    for (const suite of [0x0014, 0x0046, 0x0078, 0x0014]) await manager.getEncryptionMaterials(request(suite));
    expect(calls(kms)).toBe(4);
    expect(cache.stats()).toMatchObject({ entries: 0, uncached: 4 });
  });

  test("H11: what is cached of opening is the data key: no plaintext, no message", async () => {
    const keys = watchKeys();
    const { access, once } = bed();
    await open(await once(5000), access);
    expect(keys().map(({ length }) => length)).toEqual([32, 32]);
  });
});

describe("KMS behind it", () => {
  const throttled = Object.assign(new Error("slow down"), { name: "ThrottlingException" });

  test("H07: a failure is told; a key that is too old is not used instead", async () => {
    const { clock, kms, access, once } = bed();
    const message = await once();
    await open(message, access);
    clock.now += MAX_AGE_MS;
    kms.failure = throttled;
    await expect(once()).rejects.toBe(throttled);
    await expect(open(message, access)).rejects.toBe(throttled);
    kms.failure = undefined;
    await once();
    expect(await open(message, access)).toEqual(new Uint8Array(10));
  });

  test("H08: a thousand at once are one call, and a failure is all of theirs and not kept", async () => {
    const { kms, access, cache, once } = bed();
    const messages = await Promise.all(Array.from({ length: 1000 }, () => once(1)));
    expect(kms.calls.generate).toBe(1);
    await Promise.all(messages.slice(0, 200).map((message) => open(message, access)));
    expect(kms.calls.decrypt).toBe(1);
    expect(cache.stats()).toMatchObject({ misses: 2, joined: 999 + 199 });
    cache.invalidate();
    kms.failure = throttled;
    const all = await Promise.allSettled(Array.from({ length: 1000 }, () => once(1)));
    expect(all.every((outcome) => outcome.status === "rejected" && outcome.reason === throttled)).toBe(true);
    expect(kms.calls.generate).toBe(2);
    kms.failure = undefined;
    await once();
    expect(kms.calls.generate).toBe(3);
  }, 30_000);

  test("H08: limits hold among those who waited together", async () => {
    const { kms, once } = bed({ maxMessages: 10 });
    await Promise.all(Array.from({ length: 100 }, () => once(1)));
    expect(kms.calls.generate).toBe(10);
  });

  test("H14: invalidated, also while the call is on its way", async () => {
    const { kms, cache, once } = bed();
    await once();
    cache.invalidate();
    expect(cache.stats().entries).toBe(0);
    await once();
    expect(kms.calls.generate).toBe(2);
    cache.invalidate();
    const pending = once();
    await Promise.resolve();
    cache.invalidate();
    await pending;
    expect(kms.calls.generate).toBe(4);
  });
});

describe("H09: the memory of a key is zeroed", () => {
  const zeroed = (keys: readonly Buffer[]): boolean[] => keys.map((key) => isAllZero(key));

  test("by expiry when it is asked for, by eviction, when it is used up, by invalidation, by close", async () => {
    for (const end of [
      {
        act: ({ clock, once }: ReturnType<typeof bed>) => {
          clock.now += MAX_AGE_MS;
          return once();
        },
      },
      {
        options: { capacity: 1 },
        act: ({ access }: ReturnType<typeof bed>) => seal(new Uint8Array(1), { ...access, context: { other: "" } }),
      },
      { options: { maxMessages: 2 }, act: ({ once }: ReturnType<typeof bed>) => once().then(() => once()) },
      { act: ({ cache }: ReturnType<typeof bed>) => cache.invalidate() },
      { act: ({ cache }: ReturnType<typeof bed>) => cache[Symbol.dispose]() },
    ]) {
      const keys = watchKeys();
      const one = bed(end.options);
      await one.once();
      expect(zeroed(keys())).toEqual([false]);
      await end.act(one);
      expect(zeroed(keys())[0]).toBe(true);
      vi.restoreAllMocks();
    }
  });

  test("by expiry, though nobody asks", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const keys = watchKeys();
    const { once, cache } = bed({ monotonicMs: () => performance.now() });
    await once();
    vi.advanceTimersByTime(MAX_AGE_MS - 1);
    expect(zeroed(keys())).toEqual([false]);
    vi.advanceTimersByTime(1);
    expect(zeroed(keys())).toEqual([true]);
    expect(cache.stats().entries).toBe(0);
  });

  test("while messages are in work: they end as they began", async () => {
    const { cache, access } = bed();
    const message = await collect(
      sealStream([new Uint8Array(100)], { ...access, suite: "unsigned", plaintextBytes: 100, frameBytes: 10 }),
    );
    const stream = openStream([message], { ...access, suite: "unsigned" });
    await stream.next();
    cache.invalidate();
    expect((await collect(stream)).length).toBe(90);
  });

  test("after a throw and after an abort of those who use it", async () => {
    const keys = watchKeys();
    const { cache, access, once } = bed();
    const message = await once();
    await expect(open(message.fill(0, 200, 300), access)).rejects.toThrow();
    const stream = sealStream([new Uint8Array(9)], { ...access, suite: "signed", plaintextBytes: 9 });
    await stream.next();
    await stream.return();
    cache[Symbol.dispose]();
    expect(keys().length).toBeGreaterThan(0);
    expect(zeroed(keys()).every(Boolean)).toBe(true);
  });

  test("closed, it gives nothing", async () => {
    const { cache, once } = bed();
    cache[Symbol.dispose]();
    await expect(once()).rejects.toThrow(TypeError);
  });
});

test("H13: a closed cache leaves no data key in the heap: searched as bytes, hex and base64", async () => {
  const { cache, access, kms } = bed();
  const message = await seal(new Uint8Array(10), access);
  await open(message, access);
  cache[Symbol.dispose]();
  const planted = randomBytes(32).toString("hex");
  const folder = mkdtempSync(join(tmpdir(), "cloister-heap-"));
  try {
    const snapshot = readFileSync(writeHeapSnapshot(join(folder, "a.heapsnapshot")));
    expect(snapshot.length).toBeGreaterThan(1e6);
    const key = kms.given[0] ?? Buffer.alloc(0);
    expect(snapshot.includes(planted)).toBe(true);
    for (const encoding of ["hex", "base64", "base64url"] as const)
      expect(snapshot.includes(key.toString(encoding)), encoding).toBe(false);
    expect(key.length).toBe(32);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);
