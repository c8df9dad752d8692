/** Stores that are not trusted, and what is sealed in them. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Anchor, type AnchorPoint, createSealedState } from "../../../enclave/data/sealed-state.ts";
import { createSealedStore } from "../../../enclave/data/sealed-store.ts";
import { createFolderStore, createS3Store, type ObjectStore, type S3Calls } from "../../../enclave/data/stores.ts";
import { utf8 } from "../../../shared/bytes.ts";
import { seal } from "../../../shared/envelope/sealed.ts";
import { fakeKms, KEY } from "../../envelope/bed.ts";

const root = mkdtempSync(join(tmpdir(), "cloister-stores-"));
afterAll(() => rmSync(root, { recursive: true }));
const newFolder = (): string => mkdtempSync(join(root, "folder-"));

/** A bucket in memory that answers as the SDK's client does: a body is a stream, a missing key an exception. */
function fakeS3(): S3Calls & { readonly objects: Map<string, Uint8Array> } {
  const objects = new Map<string, Uint8Array>();
  return {
    objects,
    putObject: async ({ Bucket, Key, Body }) => objects.set(`${Bucket}/${Key}`, Body.slice()),
    getObject: async ({ Bucket, Key }) => {
      const found = objects.get(`${Bucket}/${Key}`);
      if (!found) throw Object.assign(new Error("no such key"), { name: "NoSuchKey" });
      return {
        Body: (async function* () {
          for (let at = 0; at < found.length; at += 10) yield Buffer.from(found.subarray(at, at + 10));
        })(),
      };
    },
  };
}

const STORES: readonly (readonly [string, (maxBytes?: number) => ObjectStore])[] = [
  ["a folder", (maxBytes = 100) => createFolderStore({ folder: newFolder(), maxBytes })],
  ["a bucket", (maxBytes = 100) => createS3Store({ s3: fakeS3(), bucket: "b", prefix: "p/", maxBytes })],
];

describe.each(STORES)("%s as a store", (_, make) => {
  test("gives what was put, the last of a name", async () => {
    const store = make();
    await store.put("a/b.bin", utf8("one"));
    await store.put("a/b.bin", utf8("two"));
    await store.put("a/c", new Uint8Array());
    expect(await store.get("a/b.bin")).toEqual(utf8("two"));
    expect(await store.get("a/c")).toEqual(new Uint8Array());
  });

  test("what is not there", async () => {
    const missing = { code: "ERR_DATA_OBJECT_MISSING", details: { object: "a" } };
    await expect(make().get("a")).rejects.toMatchObject(missing);
  });

  test("no more than is taken into memory", async () => {
    const store = make(100);
    await store.put("a", new Uint8Array(100));
    await store.put("b", new Uint8Array(101));
    expect((await store.get("a")).length).toBe(100);
    await expect(store.get("b")).rejects.toMatchObject({ code: "ERR_DATA_TOO_LARGE" });
  });

  test.each([
    "",
    ".",
    "..",
    "../a",
    "a/../b",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a/.b",
    "a\\b",
    "a\0",
    "ä",
    "a b",
    "x".repeat(513),
  ])("%j is no name", async (name) => {
    await expect(make().get(name)).rejects.toThrow(RangeError);
    await expect(make().put(name, new Uint8Array())).rejects.toThrow(RangeError);
  });
});

describe("a folder", () => {
  test("has whole objects for this user only, and nothing else", async () => {
    const folder = newFolder();
    const store = createFolderStore({ folder });
    await store.put("a", new Uint8Array(5));
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.put("b", new Uint8Array(i + 1))));
    expect(readdirSync(folder)).toEqual(["a", "b"]);
    expect(statSync(join(folder, "a")).mode & 0o777).toBe(0o600);
  });

  test("a failure leaves what was there and no draft", async () => {
    const folder = newFolder();
    mkdirSync(join(folder, "a", "inside"), { recursive: true });
    await expect(createFolderStore({ folder }).put("a", new Uint8Array(5))).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(["a"]);
  });

  test("a link is replaced, not followed", async () => {
    const folder = newFolder();
    const target = join(newFolder(), "target");
    writeFileSync(target, "kept");
    symlinkSync(target, join(folder, "a"));
    await createFolderStore({ folder }).put("a", utf8("new"));
    expect(statSync(target).size).toBe(4);
  });
});

test("what a bucket throws comes through", async () => {
  const denied = Object.assign(new Error("no"), { name: "AccessDenied" });
  const s3 = { ...fakeS3(), getObject: () => Promise.reject(denied) };
  await expect(createS3Store({ s3, bucket: "b" }).get("a")).rejects.toBe(denied);
});

describe("a sealed store", () => {
  const kms = fakeKms();
  const options = { kms, keyArn: KEY, context: { tenant: "t" } } as const;

  test("puts what says nothing, and gives it back", async () => {
    const s3 = fakeS3();
    const store = createSealedStore({ ...options, store: createS3Store({ s3, bucket: "b" }) });
    await store.put("a", utf8("secret"));
    expect(Buffer.from(s3.objects.get("b/a") ?? []).includes("secret")).toBe(false);
    expect(await store.get("a")).toEqual(utf8("secret"));
  });

  test("an object in the place of another, and one of another tenant, are refused", async () => {
    const s3 = fakeS3();
    const inner = createS3Store({ s3, bucket: "b" });
    const store = createSealedStore({ ...options, store: inner });
    await store.put("a", utf8("1"));
    s3.objects.set("b/b", s3.objects.get("b/a") ?? new Uint8Array());
    await expect(store.get("b")).rejects.toMatchObject({ code: "ERR_DATA_NOT_OPENED" });
    const other = createSealedStore({ ...options, context: { tenant: "u" }, store: inner });
    await expect(other.get("a")).rejects.toMatchObject({ code: "ERR_DATA_NOT_OPENED" });
    expect(() => createSealedStore({ ...options, context: { object: "a" }, store: inner })).toThrow(RangeError);
  });
});

/** An anchor in memory. */
function memoryAnchor(): Anchor & { point: AnchorPoint } {
  const anchor = {
    point: { version: 0, digest: "" },
    read: async () => anchor.point,
    advance: async (from: AnchorPoint, to: AnchorPoint) => {
      if (from.version !== anchor.point.version || from.digest !== anchor.point.digest) return false;
      anchor.point = to;
      return true;
    },
  };
  return anchor;
}

describe("sealed state", () => {
  function bed() {
    const s3 = fakeS3();
    const anchor = memoryAnchor();
    const options = { kms: fakeKms(), keyArn: KEY, context: { app: "a" }, name: "counter", anchor };
    const make = () => createSealedState({ ...options, store: createS3Store({ s3, bucket: "b" }) });
    return { s3, anchor, options, state: make(), make };
  }

  test("nothing, then one version after the other, also for who comes later", async () => {
    const { state, make, anchor } = bed();
    expect(await state.read()).toBeUndefined();
    expect(await state.write(utf8("one"), { version: 0 })).toBe(1);
    expect(await state.write(utf8("two"), { version: 1 })).toBe(2);
    expect(await make().read()).toEqual({ version: 2, bytes: utf8("two") });
    expect(anchor.point).toMatchObject({ version: 2, digest: expect.stringMatching(/^[0-9a-f]{96}$/) });
  });

  test("an older version in the place of the one that stands is refused by name", async () => {
    const { state, s3 } = bed();
    await state.write(utf8("one"), { version: 0 });
    const [[, old] = ["", new Uint8Array()]] = [...s3.objects];
    await state.write(utf8("two"), { version: 1 });
    const current = [...s3.objects.keys()].find((key) => key.includes("/2-")) ?? "";
    s3.objects.set(current, old);
    await expect(state.read()).rejects.toMatchObject({
      code: "ERR_DATA_ROLLED_BACK",
      details: { state: "counter", version: 2 },
    });
    s3.objects.delete(current);
    await expect(state.read()).rejects.toMatchObject({ code: "ERR_DATA_OBJECT_MISSING" });
  });

  test("a store without the older versions gives the one that stands", async () => {
    const { state, s3 } = bed();
    await state.write(utf8("one"), { version: 0 });
    await state.write(utf8("two"), { version: 1 });
    for (const key of s3.objects.keys()) if (key.includes("/1-")) s3.objects.delete(key);
    expect(await state.read()).toEqual({ version: 2, bytes: utf8("two") });
  });

  test("a message of another version or state under an anchor that was moved to it does not open", async () => {
    const { state, s3, anchor, options } = bed();
    await state.write(utf8("one"), { version: 0 });
    const [[key, message] = ["", new Uint8Array()]] = [...s3.objects];
    s3.objects.set(key.replace("/1-", "/5-"), message);
    anchor.point = { ...anchor.point, version: 5 };
    await expect(state.read()).rejects.toMatchObject({ code: "ERR_DATA_NOT_OPENED" });
    const other = createSealedState({ ...options, name: "other", store: createS3Store({ s3, bucket: "b" }) });
    anchor.point = { ...anchor.point, version: 1 };
    s3.objects.set(key.replace("counter", "other"), message);
    await expect(other.read()).rejects.toMatchObject({ code: "ERR_DATA_NOT_OPENED" });
  });

  test("of two at once one wins, and the other is told what stands", async () => {
    const { state, make } = bed();
    const writes = [state.write(utf8("one"), { version: 0 }), make().write(utf8("two"), { version: 0 })];
    const [first, second] = await Promise.allSettled(writes);
    expect([first?.status, second?.status].sort()).toEqual(["fulfilled", "rejected"]);
    const lost = [first, second].find((outcome) => outcome?.status === "rejected") as PromiseRejectedResult;
    expect(lost.reason).toMatchObject({ code: "ERR_DATA_CONFLICT", details: { state: "counter", version: 1 } });
    const won = first?.status === "fulfilled" ? "one" : "two";
    expect(await state.read()).toEqual({ version: 1, bytes: utf8(won) });
  });

  test("what was read long ago is not written over", async () => {
    const { state } = bed();
    await state.write(utf8("one"), { version: 0 });
    for (const version of [0, 2])
      await expect(state.write(utf8("x"), { version })).rejects.toMatchObject({ code: "ERR_DATA_CONFLICT" });
  });

  test("a write that could not put its object left all as it was", async () => {
    const { options, anchor, state } = bed();
    await state.write(utf8("one"), { version: 0 });
    const before = anchor.point;
    const full = { put: () => Promise.reject(new Error("full")), get: () => Promise.reject(new Error("not called")) };
    await expect(createSealedState({ ...options, store: full }).write(utf8("two"), { version: 1 })).rejects.toThrow(
      "full",
    );
    expect(anchor.point).toBe(before);
    expect(await state.read()).toEqual({ version: 1, bytes: utf8("one") });
  });

  test.each([
    { version: -1, digest: "" },
    { version: 1, digest: "" },
    { version: 1.5, digest: "a".repeat(96) },
  ])("%o is no anchor", async (point) => {
    const { state, anchor } = bed();
    anchor.point = point;
    await expect(state.read()).rejects.toThrow(TypeError);
  });

  test("a message that is sealed elsewhere under the same key is not state", async () => {
    const { s3, anchor, options, state } = bed();
    await state.write(utf8("one"), { version: 0 });
    const foreign = await seal(utf8("x"), { ...options, context: { app: "a", other: "pair" } });
    for (const key of s3.objects.keys()) s3.objects.set(key, foreign);
    expect(anchor.point.version).toBe(1);
    await expect(state.read()).rejects.toMatchObject({ code: "ERR_DATA_ROLLED_BACK" });
  });
});
