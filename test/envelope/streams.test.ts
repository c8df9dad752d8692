/** Sealing and opening streams: what goes in comes out, the library agrees in both directions, and little is held. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AlgorithmSuiteIdentifier, buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openStream } from "../../shared/envelope/open-stream.ts";
import { type Suite, sealStream } from "../../shared/envelope/seal-stream.ts";
import { open, seal } from "../../shared/envelope/sealed.ts";
import { collect, context, drain, fakeKms, KEY, pieces } from "./bed.ts";

const SUITES = ["signed", "unsigned"] as const;
const kms = fakeKms();
const access = { kms, keyArn: KEY, context } as const;
const opening = { ...access, dataset: "x" } as const;
const library = buildClient({
  commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  maxEncryptedDataKeys: 1,
});
const keyring = new KmsKeyringNode({ generatorKeyId: KEY, clientProvider: () => kms as never });
const suiteIds = {
  signed: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
  unsigned: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
} as const;
const sealed = (plaintext: Uint8Array, suite: Suite, frameBytes = 64): Promise<Uint8Array> =>
  collect(sealStream([plaintext], { ...access, suite, frameBytes }));

describe.each(SUITES)("a stream in suite %s", (suite) => {
  test("opens to what was sealed, whatever the pieces and frames", async () => {
    const cases = [fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 90 })];
    const property = fc.asyncProperty(
      ...(cases as [fc.Arbitrary<Uint8Array>, fc.Arbitrary<number>, fc.Arbitrary<number>]),
      async (plaintext, frameBytes, size) => {
        const message = await collect(sealStream(pieces(plaintext, size), { ...access, suite, frameBytes }));
        expect(await collect(openStream(pieces(message, size), { ...opening, suite }))).toEqual(plaintext);
      },
    );
    await fc.assert(property, { numRuns: process.env["SLOW"] ? 500 : 50 });
  });

  test.each([0, 1, 63, 64, 65, 128, 1000])("%i bytes: the Encryption SDK opens it", async (size) => {
    const plaintext = randomBytes(size);
    const { plaintext: found, messageHeader } = await library.decrypt(
      keyring,
      Buffer.from(await sealed(plaintext, suite)),
    );
    expect(found.equals(plaintext)).toBe(true);
    expect(messageHeader).toMatchObject({ suiteId: suiteIds[suite], frameLength: 64, encryptionContext: context });
  });

  test.each([0, 1, 63, 64, 65, 128, 1000])("%i bytes that the Encryption SDK sealed", async (size) => {
    const plaintext = new Uint8Array(randomBytes(size));
    const options = { suiteId: suiteIds[suite], encryptionContext: context, frameLength: 64 };
    const { result } = await library.encrypt(keyring, plaintext, options);
    expect(await collect(openStream(pieces(result, 50), { ...opening, suite }))).toEqual(plaintext);
  });

  test("names sort by their bytes, as everywhere else", async () => {
    const pairs = { "\u{1f600}": "beyond", "\uffff": "before it by UTF-16, behind it by UTF-8", é: "", a: "1" };
    const message = await collect(sealStream([new Uint8Array(9)], { ...access, context: pairs, suite }));
    expect((await library.decrypt(keyring, Buffer.from(message))).messageHeader.encryptionContext).toMatchObject(pairs);
    expect(await collect(openStream([message], { ...opening, context: pairs, suite }))).toEqual(new Uint8Array(9));
  });

  test("is a stage of a pipeline of Node's streams", async () => {
    const plaintext = new Uint8Array(randomBytes(200_000));
    const out: Uint8Array[] = [];
    await pipeline(
      Readable.from(pieces(plaintext, 10_000)),
      (source) => sealStream(source as AsyncIterable<Uint8Array>, { ...access, suite }),
      (source) => openStream(source, { ...opening, suite }),
      async (source) => {
        for await (const piece of source) out.push(piece);
      },
    );
    expect(Buffer.concat(out).equals(plaintext)).toBe(true);
  });

  test("takes no more of a source than it must: the reader sets the pace", async () => {
    let taken = 0;
    const source = (function* () {
      for (; taken < 1000; taken++) yield new Uint8Array(64);
    })();
    const stream = sealStream(source, { ...access, suite, frameBytes: 64 });
    for (let i = 0; i < 5; i++) await stream.next();
    expect(taken).toBeLessThan(7);
    await stream.return();
  });

  test("the other suite is refused", async () => {
    const message = await sealed(new Uint8Array(100), suite);
    const other = suite === "signed" ? "unsigned" : "signed";
    expect(await drain(openStream([message], { ...opening, suite: other }))).toEqual({
      given: new Uint8Array(),
      code: "ERR_DATA_NOT_OPENED",
    });
  });

  test("L08: pairs that the message does not carry must be known", async () => {
    const required = { requiredContextKeys: ["owner"] };
    const message = await collect(sealStream([new Uint8Array(7)], { ...access, ...required, suite }));
    expect(Buffer.from(message).includes("owner")).toBe(false);
    const attempt = (options: object) => drain(openStream([message], { ...opening, suite, ...options }));
    expect(await attempt(required)).toMatchObject({ code: "ok", given: new Uint8Array(7) });
    expect((await attempt({})).code).toBe("ERR_DATA_NOT_OPENED");
    // KMS has the pairs in its own authenticated data.
    expect((await attempt({ ...required, context: { ...context, owner: "b" } })).code).toMatch(/no$/);
    expect(
      (await drain(openStream([await sealed(new Uint8Array(7), suite)], { ...opening, suite, ...required }))).code,
    ).toBe("ERR_DATA_NOT_OPENED");
  });
});

describe("what is sealed", () => {
  test("as many bytes as were announced", async () => {
    for (const plaintextBytes of [0, 99, 101, 1000]) {
      const stream = sealStream([new Uint8Array(100)], { ...access, suite: "signed", plaintextBytes });
      await expect(collect(stream)).rejects.toThrow(RangeError);
    }
    await collect(sealStream([new Uint8Array(100)], { ...access, suite: "signed", plaintextBytes: 100 }));
  });

  test.each([
    [{ context: {} }, RangeError],
    [{ context: { "aws-crypto-public-key": "x" } }, TypeError],
    [{ context: { "": "x" } }, TypeError],
    [{ context: { a: "\ud800" } }, TypeError],
    [{ context: { a: 1 } }, TypeError],
    [{ context: { a: "x".repeat(65_530) } }, RangeError],
    [{ requiredContextKeys: ["absent"] }, RangeError],
    [{ keyArn: "alias/x" }, RangeError],
    [{ keyArn: KEY.replace("key/", "alias/") }, RangeError],
  ])("not with %o", async (change, error) => {
    await expect(seal(new Uint8Array(1), { ...access, ...change } as never)).rejects.toThrow(error);
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 32])("not in frames of %d bytes", async (frameBytes) => {
    await expect(collect(sealStream([], { ...access, suite: "signed", frameBytes }))).rejects.toThrow(RangeError);
  });

  test("KMS's own refusal comes through, of sealing and of opening", async () => {
    const failing = fakeKms();
    const message = await seal(new Uint8Array(3), { ...access, kms: failing });
    failing.failure = Object.assign(new Error("slow down"), { name: "ThrottlingException", $fault: "client" });
    await expect(seal(new Uint8Array(3), { ...access, kms: failing })).rejects.toBe(failing.failure);
    await expect(open(message, { ...opening, kms: failing })).rejects.toBe(failing.failure);
  });
});
