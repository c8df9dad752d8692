/** Sealed data, its cache of keys and its stores: what is printed of them, and what they choke on. */

import { NodeAlgorithmSuite } from "@aws-crypto/client-node";
import { KMS } from "@aws-sdk/client-kms";
import { afterEach, describe, expect, test, vi } from "vitest";
import { CachedKey } from "../../enclave/data/cached-key.ts";
import { createMaterialsCache } from "../../enclave/data/materials-cache.ts";
import { createSealedState } from "../../enclave/data/sealed-state.ts";
import { createSealedStore } from "../../enclave/data/sealed-store.ts";
import { createS3Store } from "../../enclave/data/stores.ts";
import { kmsFailure } from "../../enclave/kms/failures.ts";
import { COMMITMENT_POLICY, UNCACHED } from "../../shared/envelope/materials.ts";
import { openStream } from "../../shared/envelope/open-stream.ts";
import { SUITE_IDS, sealStream } from "../../shared/envelope/seal-stream.ts";
import { open, seal } from "../../shared/envelope/sealed.ts";
import { startDouble } from "../enclave/kms/double.ts";
import { drain, fakeKms, KEY, OTHER_KEY } from "../envelope/bed.ts";
import { Hunt, plant, plantBytes } from "./hunt.ts";

const [plaintext, beacon, token] = [plant("plaintext"), plant("beacon"), plant("session token")];
/** It stands in each message in clear. */
const context = { dataset: beacon.text };
afterEach(() => void vi.restoreAllMocks());

/** A message with the canary in it, and the data key that it is sealed under. */
async function bed() {
  const kms = fakeKms();
  const materials = createMaterialsCache({ maxAgeMs: 60_000, capacity: 10, partition: "a" });
  const access = { kms, keyArn: KEY, context, materials, dataset: beacon.text };
  const message = await seal(plaintext.bytes, access);
  expect(await open(message, access)).toEqual(plaintext.bytes);
  const dataKey = plantBytes("data key", kms.given[0] ?? new Uint8Array());
  return { kms, materials, access, message, dataKey, hunt: new Hunt(plaintext, dataKey) };
}
type Bed = Awaited<ReturnType<typeof bed>>;

const changed = (message: Uint8Array, at: number): Uint8Array =>
  Uint8Array.from(message, (byte, index) => (index === (at < 0 ? message.length + at : at) ? byte ^ 1 : byte));
const refusing = (name: string): Error => Object.assign(new Error("no"), { name, $fault: "client" });

/** Ways in which a message does not open; the data key has been released in all but the last two. */
const WAYS: Readonly<Record<string, (bed: Bed) => Promise<unknown>>> = {
  "another signature": ({ message, access }) => open(changed(message, -1), access),
  "another ciphertext": ({ message, access }) => open(changed(message, -140), access),
  "a message that breaks off": ({ message, access }) => open(message.subarray(0, -50), access),
  "bytes behind it": ({ message, access }) => open(Buffer.concat([message, plaintext.bytes]), access),
  "a plaintext in the place of a message": ({ access }) => open(plaintext.bytes, access),
  "another message's id": ({ message, access }) => open(changed(message, 20), access),
  "another context": ({ message, access }) => open(message, { ...access, context: { dataset: "y" } }),
  "a KMS that refuses": async ({ message, kms, access }) => {
    kms.failure = refusing("AccessDeniedException");
    return open(message, { ...access, materials: UNCACHED }).catch((error: unknown) =>
      Promise.reject(kmsFailure("Decrypt", error)),
    );
  },
};

describe("sealed data", () => {
  test.each(Object.entries(WAYS))("G06 G07: %s", async (_, act) => {
    const made = await bed();
    const { hunt } = made;
    const error = await hunt.noteOutcome("refusal", act(made));
    expect((error as { code?: string }).code).toMatch(/^ERR_(DATA|KMS)_/);
    hunt.note("refusal", beacon.text);
    hunt.noteReport(error as Error);
    made.materials[Symbol.dispose]();
    hunt.end({ refusal: beacon });
  });

  test("G07: the cache, what it holds, and the streams, while they work", async () => {
    const { hunt, kms, materials, access, message } = await bed();
    const suite = new NodeAlgorithmSuite(SUITE_IDS.unsigned);
    const manager = UNCACHED.managerFor({ kms, keyArn: KEY });
    const request = { suite, encryptionContext: context, commitmentPolicy: COMMITMENT_POLICY };
    const cached = new CachedKey(await manager.getEncryptionMaterials(request), 1);
    const held = plantBytes("held data key", kms.given.at(-1) ?? new Uint8Array());
    const every = new Hunt(held);
    const stream = openStream([message], { ...access, suite: "signed" });
    const sealing = sealStream([plaintext.bytes], { ...access, suite: "unsigned" });
    for (const each of [hunt, every]) {
      each.note("objects", [
        materials,
        materials.partition("b"),
        materials.stats(),
        stream,
        sealing,
        cached,
        beacon.text,
      ]);
      each.note("objects", [materials.managerFor(access), cached.forSealing(1)]);
    }
    for await (const piece of sealing) hunt.noteBytes("message", piece);
    await stream.return();
    materials[Symbol.dispose]();
    every.end({ objects: beacon });
    hunt.end({ objects: beacon, message: beacon });
  });

  test("G06: a source of plaintext that throws, and one that a stream is given up over", async () => {
    const { hunt, access } = await bed();
    const broken = (async function* () {
      yield plaintext.bytes;
      throw Object.assign(new Error(`the disk of ${beacon.text}`), { code: "EIO" });
    })();
    hunt.note("sealed", await drain(sealStream(broken, { ...access, suite: "signed", frameBytes: 16 })));
    hunt.note("sealed", beacon.text);
    hunt.end({ sealed: beacon });
  });
});

describe("stores", () => {
  test("G06: an object that is not there: the error does not hold the request that asked", async () => {
    const hunt = new Hunt(token);
    const thrown = Object.assign(new Error("not there"), { name: "NoSuchKey" });
    Object.defineProperty(thrown, "$response", {
      value: { body: { req: { _header: `x-amz-security-token: ${token.text}` } } },
    });
    const s3 = { putObject: async () => ({}), getObject: () => Promise.reject(thrown) };
    const store = createS3Store({ s3, bucket: "b" });
    expect(await hunt.noteOutcome("refusal", store.get(beacon.text))).toMatchObject({
      code: "ERR_DATA_OBJECT_MISSING",
    });
    hunt.end({ refusal: beacon });
  });

  test("G07: what is put is sealed; a store that gives another object, and state that was rolled back", async () => {
    const { hunt, access: all } = await bed();
    const { context: _, dataset, ...access } = all;
    const objects = new Map<string, Uint8Array>();
    const store = {
      put: async (name: string, bytes: Uint8Array) => void objects.set(name, bytes),
      get: async () => [...objects.values()].at(-1) ?? new Uint8Array(),
    };
    const sealed = createSealedStore({ ...access, context, store });
    await sealed.put("one", plaintext.bytes);
    await sealed.put("two", Buffer.from("other"));
    await hunt.noteOutcome("refusals", sealed.get("one"));
    let point = { version: 0, digest: "" };
    const anchor = { read: async () => point, advance: async (_: object, to: typeof point) => Boolean((point = to)) };
    const state = createSealedState({ ...access, context, store, anchor, name: dataset });
    await state.write(plaintext.bytes, { version: 0 });
    await sealed.put("three", plaintext.bytes);
    expect(await hunt.noteOutcome("refusals", state.read())).toMatchObject({ code: "ERR_DATA_ROLLED_BACK" });
    for (const bytes of objects.values()) hunt.noteBytes("objects", bytes);
    hunt.note("refusals", [sealed, state]);
    hunt.end({ refusals: beacon, objects: beacon });
  });
});

describe("a plain KMS client, as an owner of data has one", () => {
  const dataKey = plant("data key");
  const released = Buffer.from(dataKey.bytes).toString("base64");
  const [secretKey, credentialsToken] = [plant("SigV4 secret"), plant("session token")];

  test.each([
    ["answers JSON that breaks off", 200, `{"KeyId":"${beacon.text}","Plaintext":"${released}`],
    ["answers JSON with a fault at the key", 200, `{"KeyId":"${beacon.text}","Plaintext":${released}}`],
    ["answers no JSON", 200, released],
    ["refuses", 400, `{"__type":"AccessDeniedException","message":"no"}`],
  ])("G02 G06: a KMS that %s", async (_, status, body) => {
    await using double = await startDouble(() => ({ status, body }));
    const hunt = new Hunt(dataKey, plaintext, secretKey, credentialsToken);
    const credentials = { accessKeyId: "A", secretAccessKey: secretKey.text, sessionToken: credentialsToken.text };
    const kms = new KMS({
      region: "eu-central-1",
      endpoint: `http://127.0.0.1:${double.port}`,
      credentials,
      maxAttempts: 1,
    });
    const sealing = seal(plaintext.bytes, { kms, keyArn: OTHER_KEY, context });
    const refusal = await sealing.catch((error: unknown) => kmsFailure("GenerateDataKey", error));
    hunt.note("refusal", [refusal, beacon.text]);
    kms.destroy();
    hunt.end({ refusal: beacon });
  });
});
