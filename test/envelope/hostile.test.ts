/** Messages that somebody changed, cut, joined or signed otherwise: refused, and of a signed one nothing was given out. */
import { generateKeyPairSync, sign } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { concat, equalBytes, isAllZero } from "../../shared/bytes.ts";
import { type MessageHeader, readHeader, TAG_BYTES } from "../../shared/envelope/format.ts";
import { openStream } from "../../shared/envelope/open-stream.ts";
import { Reading } from "../../shared/envelope/reading.ts";
import { type Suite, sealStream } from "../../shared/envelope/seal-stream.ts";
import { open, seal } from "../../shared/envelope/sealed.ts";
import { hasVectors, vector } from "../vectors.ts";
import { collect, context, drain, fakeKms, KEY, OTHER_KEY, pieces } from "./bed.ts";

const FRAME = 16;
const kms = fakeKms();
const opening = { kms, keyArn: KEY, context, dataset: "x" } as const;
const plaintext = Uint8Array.from({ length: 2 * FRAME + 5 }, (_, i) => i + 1);
const nothing = { given: new Uint8Array(), code: "ERR_DATA_NOT_OPENED" };

interface Message {
  readonly bytes: Uint8Array;
  readonly header: MessageHeader;
  /** Header with its tag, the frames, and what is behind them. */
  readonly parts: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
}
const messages = {} as Record<Suite, Message>;
const attempt = (bytes: Uint8Array, suite: Suite = "signed", options: object = {}) =>
  drain(openStream([bytes], { ...opening, suite, ...options }));

async function messageIn(suite: Suite, pairs: Readonly<Record<string, string>> = context): Promise<Message> {
  const options = { kms, keyArn: KEY, context: pairs, suite, frameBytes: FRAME };
  const bytes = await collect(sealStream([plaintext], options));
  let at = 0;
  const header = await readHeader(async (length) => bytes.subarray(at, (at += length)), { maxDataKeys: 1 });
  const ends = [at, at + 16 + FRAME + TAG_BYTES, at + 2 * (16 + FRAME + TAG_BYTES)];
  ends.push((ends[2] ?? 0) + 24 + 5 + TAG_BYTES, bytes.length);
  const parts = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
  return { bytes, header, parts: parts as unknown as Message["parts"] };
}

/** The same bytes with some of them replaced. */
function patched(bytes: Uint8Array, at: number, by: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(by, at);
  return copy;
}

beforeAll(async () => {
  for (const suite of ["signed", "unsigned"] as const) messages[suite] = await messageIn(suite);
});
afterEach(() => void vi.restoreAllMocks());

test.each(["signed", "unsigned"] as const)("the message that is changed below opens: %s", async (suite) => {
  expect(await attempt(messages[suite].bytes, suite)).toEqual({ given: plaintext, code: "ok" });
});

describe("L01: any bit", () => {
  test("of a signed message: refused, and nothing given out", async () => {
    const { bytes } = messages.signed;
    // Another bit of each byte; all of them take a minute, and the unsigned message below has them all.
    for (let bit = 0; bit < bytes.length * 8; bit += process.env["SLOW"] ? 1 : 9) {
      const changed = patched(bytes, bit >> 3, [(bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))]);
      const { given, code } = await attempt(changed);
      expect(given.length, `bit ${bit}`).toBe(0);
      expect(code, `bit ${bit}`).toMatch(/^ERR_DATA_NOT_OPENED$|InvalidCiphertextException: no$/);
    }
  }, 300_000);

  test("of an unsigned message: refused, and the frames before it are as they were sealed", async () => {
    const { bytes } = messages.unsigned;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = patched(bytes, bit >> 3, [(bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))]);
      const { given, code } = await attempt(changed, "unsigned");
      expect(code, `bit ${bit}`).not.toBe("ok");
      expect(given.length % FRAME, `bit ${bit}`).toBe(0);
      expect(equalBytes(given, plaintext.subarray(0, given.length)), `bit ${bit}`).toBe(true);
    }
  }, 60_000);

  test("cut anywhere: refused", async () => {
    for (const suite of ["signed", "unsigned"] as const) {
      const { bytes } = messages[suite];
      for (let length = 0; length < bytes.length; length++)
        expect((await attempt(bytes.subarray(0, length), suite)).code, `${length}`).toBe("ERR_DATA_NOT_OPENED");
    }
  }, 60_000);
});

describe("L03: suites without key commitment", () => {
  const file = JSON.parse(hasVectors ? Buffer.from(vector("esdk/message-fixtures.json")).toString() : "{}");
  const fixtures = Object.entries(file as Record<string, unknown>).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && /ciphertext/i.test(entry[0]),
  );
  test.skipIf(!hasVectors).each(fixtures)("%s is refused before KMS is asked", async (_, base64) => {
    const before = kms.calls.decrypt;
    expect(await attempt(new Uint8Array(Buffer.from(base64, "base64")))).toEqual(nothing);
    expect(await attempt(new Uint8Array(Buffer.from(base64, "base64")), "unsigned")).toEqual(nothing);
    expect(kms.calls.decrypt).toBe(before);
  });

  test.each([0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0000, 0xffff])(
    "suite 0x%s in a header of version 2",
    async (id) => {
      const changed = patched(messages.signed.bytes, 1, [id >> 8, id & 0xff]);
      expect(await attempt(changed)).toEqual(nothing);
      expect(await attempt(changed, "unsigned")).toEqual(nothing);
    },
  );

  test("the library seals in them where it may; what it seals is refused", async () => {
    const old = buildClient(CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT);
    const keyring = new KmsKeyringNode({ generatorKeyId: KEY, clientProvider: () => kms as never });
    for (const suiteId of [0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378]) {
      const { result } = await old.encrypt(keyring, plaintext, { suiteId, encryptionContext: context });
      expect((await old.decrypt(keyring, result)).plaintext).toEqual(Buffer.from(plaintext));
      expect(await attempt(result)).toEqual(nothing);
      expect(await attempt(result, "unsigned")).toEqual(nothing);
    }
  });
});

describe("L04: the header's lists", () => {
  /** Where the context's length stands, and where the count of data keys. */
  const CONTEXT_AT = 1 + 2 + 32;
  const countAt = ({ bytes }: Message): number => CONTEXT_AT + 2 + Buffer.from(bytes).readUInt16BE(CONTEXT_AT);

  test.each([0, 2, 255, 65_535])("%i encrypted data keys", async (count) => {
    const changed = patched(messages.signed.bytes, countAt(messages.signed), [count >> 8, count & 0xff]);
    expect(await attempt(changed)).toEqual(nothing);
  });

  test("two data keys: refused, unless the caller says two; then KMS is asked for one that is of the key", async () => {
    const client = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
    const wrapping = {
      ...kms,
      encrypt: async ({ KeyId }: { KeyId?: string }) => ({ KeyId, CiphertextBlob: new Uint8Array(9) }),
    };
    const two = { generatorKeyId: KEY, keyIds: [OTHER_KEY], clientProvider: () => wrapping as never };
    const { result } = await client.encrypt(new KmsKeyringNode(two), plaintext, { encryptionContext: context });
    expect(await attempt(result)).toEqual(nothing);
    expect(await attempt(result, "signed", { maxDataKeys: 2 })).toEqual({ given: plaintext, code: "ok" });
    expect(await attempt(result, "signed", { maxDataKeys: 2, keyArn: KEY.replace("1234", "4321") })).toEqual(nothing);
  });

  test("a context of 65 535 bytes that is not there, or is too short for its pairs", async () => {
    for (const length of [65_535, 0, 1, 2, 5])
      expect(await attempt(patched(messages.signed.bytes, CONTEXT_AT, [length >> 8, length & 0xff]))).toEqual(nothing);
  });

  test("a context of 64 KiB that the library sealed opens", async () => {
    const large = { ...context, filler: "x".repeat(64_000) };
    const client = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
    const keyring = new KmsKeyringNode({ generatorKeyId: KEY, clientProvider: () => kms as never });
    const { result } = await client.encrypt(keyring, plaintext, { encryptionContext: large });
    expect(await attempt(result)).toEqual({ given: plaintext, code: "ok" });
  });

  test("a name twice, another order, another count of pairs", async () => {
    const one = await messageIn("signed", { aa: "1", ab: "2" });
    const at = CONTEXT_AT + 4;
    const pairs = { context: { aa: "1" } };
    expect((await attempt(one.bytes, "signed", pairs)).code).toBe("ok");
    const pair = one.bytes.subarray(at, at + 7);
    const next = one.bytes.subarray(at + 7, at + 14);
    for (const both of [
      [pair, pair],
      [next, next],
      [next, pair],
    ])
      expect(await attempt(patched(one.bytes, at, [...concat(...both)]), "signed", pairs)).toEqual(nothing);
    for (const count of [0, 1, 2, 4])
      expect(await attempt(patched(one.bytes, at - 1, [count]), "signed", pairs)).toEqual(nothing);
  });

  test("a caller's pair that is not the message's, before KMS is asked", async () => {
    const before = kms.calls.decrypt;
    for (const other of [{ dataset: "y" }, { dataset: "X" }, { Dataset: "x" }, { ...context, more: "" }])
      expect(await attempt(messages.signed.bytes, "signed", { context: other })).toEqual(nothing);
    expect(kms.calls.decrypt).toBe(before);
  });
});

describe("L05: frames", () => {
  const LENGTH_AT = 4 + 32 + TAG_BYTES;

  test.each([
    ["out of order", [0, 2, 1, 3, 4]],
    ["the first missing", [0, 2, 3, 4]],
    ["the second missing", [0, 1, 3, 4]],
    ["the last missing", [0, 1, 2, 4]],
    ["one twice", [0, 1, 1, 2, 3, 4]],
    ["the last twice", [0, 1, 2, 3, 3, 4]],
    ["the last first", [0, 3, 1, 2, 4]],
    ["none", [0, 4]],
    ["the end of the message before them", [0, 4, 1, 2, 3]],
  ])("%s", async (_, order) => {
    for (const suite of ["signed", "unsigned"] as const) {
      const { parts } = messages[suite];
      if (suite === "unsigned" && order[1] === 4) continue; // it has no end of its own
      const { given, code } = await attempt(concat(...order.map((i) => parts[i] ?? new Uint8Array())), suite);
      expect(code).toBe("ERR_DATA_NOT_OPENED");
      if (suite === "signed") expect(given.length).toBe(0);
      else expect(equalBytes(given, plaintext.subarray(0, given.length))).toBe(true);
    }
  });

  test("of another message under the same context", async () => {
    const other = await messageIn("unsigned");
    const { parts } = messages.unsigned;
    const joined = concat(parts[0], other.parts[1], parts[2], parts[3]);
    expect(await attempt(joined, "unsigned")).toEqual(nothing);
  });

  test("a full frame said to be the last, the last said to be one of many", async () => {
    const { parts } = messages.unsigned;
    const body = parts[1].subarray(16);
    const last = concat(
      Buffer.from("ffffffff00000001", "hex"),
      parts[1].subarray(4, 16),
      Uint8Array.of(0, 0, 0, FRAME),
      body,
    );
    expect(await attempt(concat(parts[0], last), "unsigned")).toEqual(nothing);
    const many = concat(parts[3].subarray(4, 20), parts[3].subarray(24), new Uint8Array(FRAME - 5));
    expect((await attempt(concat(parts[0], parts[1], parts[2], many), "unsigned")).code).toBe("ERR_DATA_NOT_OPENED");
  });

  test("a last frame that is longer than a frame, and one of 2^32 − 1 bytes, is not waited for", async () => {
    const { parts } = messages.unsigned;
    for (const length of [FRAME + 1, 0xffff_ffff]) {
      const longer = patched(parts[3], 20, [length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255]);
      const taken = (function* () {
        yield concat(parts[0], parts[1], parts[2], longer);
        throw new Error("it asked for more");
      })();
      expect((await drain(openStream(taken, { ...opening, suite: "unsigned" }))).code).toBe("ERR_DATA_NOT_OPENED");
    }
  });

  test("frames of no bytes, of more than is held, and a message without frames, before KMS is asked", async () => {
    const before = kms.calls.decrypt;
    const { bytes, header } = messages.unsigned;
    const at = header.body.length - 32 - 4;
    for (const length of [0, (1 << 20) + 1, 0xffff_ffff])
      expect(
        await attempt(patched(bytes, at, [...Buffer.from(length.toString(16).padStart(8, "0"), "hex")]), "unsigned"),
      ).toEqual(nothing);
    for (const type of [0, 1, 3, 255])
      expect(await attempt(patched(bytes, at - 1, [type]), "unsigned")).toEqual(nothing);
    expect((await attempt(bytes, "unsigned", { maxFrameBytes: FRAME - 1 })).code).toBe("ERR_DATA_NOT_OPENED");
    expect(kms.calls.decrypt).toBe(before);
    expect((await attempt(bytes, "unsigned", { maxFrameBytes: FRAME })).code).toBe("ok");
    expect(LENGTH_AT).toBeLessThan(header.body.length);
  });
});

describe("L06: around the message", () => {
  test.each(["signed", "unsigned"] as const)("bytes behind it: %s", async (suite) => {
    const { bytes } = messages[suite];
    for (const tail of [Uint8Array.of(0), bytes]) {
      const { given, code } = await attempt(concat(bytes, tail), suite);
      expect(code).toBe("ERR_DATA_NOT_OPENED");
      if (suite === "signed") expect(given.length).toBe(0);
    }
    const endless = (function* () {
      yield bytes;
      for (;;) yield new Uint8Array(1 << 16);
    })();
    expect((await drain(openStream(endless, { ...opening, suite }))).code).toBe("ERR_DATA_NOT_OPENED");
  });

  test.each([0, 1, 3, 65, 255])("version %i", async (version) => {
    expect(await attempt(patched(messages.signed.bytes, 0, [version]))).toEqual(nothing);
    expect(await attempt(patched(patched(messages.signed.bytes, 0, [version]), 1, [0x80]))).toEqual(nothing);
  });

  test("nothing, and what is no message", async () => {
    for (const bytes of [
      new Uint8Array(),
      new Uint8Array(1000),
      new Uint8Array(1000).fill(255),
      Buffer.from("AgV4", "utf8"),
    ])
      expect(await attempt(bytes)).toEqual(nothing);
  });
});

describe("L07: the signature", () => {
  const footer = (signature: Uint8Array): Uint8Array => concat(Uint8Array.of(0, signature.length), signature);
  const body = (): Uint8Array => concat(...messages.signed.parts.slice(0, 4));

  test("of another key over the very bytes, as DER and raw", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    for (const dsaEncoding of ["der", "ieee-p1363"] as const) {
      const signature = new Uint8Array(sign("sha384", body(), { key: privateKey, dsaEncoding }));
      expect(await attempt(concat(body(), footer(signature)))).toEqual(nothing);
    }
  });

  test("the right one, raw instead of DER", async () => {
    const der = messages.signed.parts[4].subarray(2);
    const integer = (at: number): Uint8Array => {
      const value = der.subarray(at + 2, at + 2 + (der[at + 1] ?? 0));
      return concat(new Uint8Array(49 - value.length), value).subarray(1);
    };
    const raw = concat(integer(2), integer(4 + (der[3] ?? 0)));
    expect(raw.length).toBe(96);
    expect(await attempt(concat(body(), footer(raw)))).toEqual(nothing);
  });

  test("missing, empty, too long, of another message", async () => {
    const other = await messageIn("signed");
    for (const end of [
      new Uint8Array(),
      Uint8Array.of(0, 0),
      footer(new Uint8Array(105)),
      footer(new Uint8Array(250)),
      other.parts[4],
    ])
      expect(await attempt(concat(body(), end))).toEqual(nothing);
  });

  test("an unsigned message with a signature behind it", async () => {
    const { bytes } = messages.unsigned;
    expect((await attempt(concat(bytes, messages.signed.parts[4]), "unsigned")).code).toBe("ERR_DATA_NOT_OPENED");
  });
});

describe("L09: a stream that ends before its time", () => {
  test("unsigned: no more is given out than frames whose tag was verified", async () => {
    const { bytes } = messages.unsigned;
    for (let length = 0; length < bytes.length; length += 7) {
      const { given } = await attempt(bytes.subarray(0, length), "unsigned");
      const whole = Math.max(0, Math.floor((length - messages.unsigned.parts[0].length) / (16 + FRAME + TAG_BYTES)));
      expect(given.length).toBe(Math.min(whole, 2) * FRAME);
    }
  });

  test("signed: what was held is zeroed, on a refusal, on too much, and where the reader stops", async () => {
    const spy = vi.spyOn(Reading.prototype, "decrypt");
    const held = (): Uint8Array[] => spy.mock.results.map(({ value }) => value as Uint8Array);
    const { bytes } = messages.signed;
    expect((await attempt(patched(bytes, bytes.length - 1, [1 ^ (bytes.at(-1) ?? 0)]))).given.length).toBe(0);
    expect(held().length).toBe(3);
    expect(held().every(isAllZero)).toBe(true);
    spy.mockClear();
    expect(await attempt(bytes, "signed", { maxHeldBytes: 2 * FRAME + 4 })).toEqual({
      ...nothing,
      code: "ERR_DATA_TOO_LARGE",
    });
    expect(held().length).toBe(2);
    expect(held().every(isAllZero)).toBe(true);
    spy.mockClear();
    const stream = openStream([bytes], { ...opening, suite: "signed", maxHeldBytes: 2 * FRAME + 5 });
    expect(await stream.next()).toMatchObject({ done: false });
    await stream.return();
    expect(held().map(isAllZero)).toEqual([false, true, true]);
  });

  test.each(["signed", "unsigned"] as const)("an abort ends the wait for bytes that do not come: %s", async (suite) => {
    const aborting = new AbortController();
    const source = (async function* () {
      yield messages[suite].bytes.subarray(0, -3);
      aborting.abort(new Error("enough"));
      await new Promise(() => undefined);
    })();
    const { code } = await drain(openStream(source, { ...opening, suite, signal: aborting.signal }));
    expect(code).toBe("Error: enough");
    const stream = sealStream(
      (async function* () {
        await new Promise(() => undefined);
        yield new Uint8Array();
      })(),
      { ...opening, suite, signal: AbortSignal.abort(new Error("enough")) },
    );
    expect((await drain(stream)).code).toBe("Error: enough");
  });

  test("whoever stops reading stops the source, sealing and opening", async () => {
    for (const run of [
      (source: Iterable<Uint8Array>) => sealStream(source, { ...opening, suite: "unsigned", frameBytes: 1 }),
      (source: Iterable<Uint8Array>) => openStream(source, { ...opening, suite: "unsigned" }),
    ]) {
      let isClosed = false;
      const source = (function* () {
        try {
          yield* pieces(messages.unsigned.bytes, 380);
        } finally {
          isClosed = true;
        }
      })();
      const stream = run(source);
      await stream.next();
      await stream.next();
      await stream.return();
      expect(isClosed).toBe(true);
    }
  });

  test("a Node stream that fails, or says nothing, while KMS refuses, is let go", async () => {
    const refusing = fakeKms();
    refusing.failure = new Error("no");
    const silent = new Readable({ read: () => undefined });
    const failing = createReadStream("/nonexistent/file");
    for (const source of [silent, failing]) {
      const stream = sealStream(source, { ...opening, kms: refusing, suite: "signed" });
      expect((await drain(stream)).code).toMatch(/^Error: no$|ENOENT/);
      expect(source.destroyed).toBe(true);
    }
  });

  test("what the source throws comes through, and nothing behind it", async () => {
    const source = (function* () {
      yield messages.signed.bytes.subarray(0, -1);
      throw Object.assign(new Error("disk"), { code: "EIO" });
    })();
    expect(await drain(openStream(source, { ...opening, suite: "signed" }))).toEqual({ ...nothing, code: "EIO" });
  });
});

describe("a signed message that is read twice", () => {
  test("opens with little held, whatever its size", async () => {
    const source = (): Iterable<Uint8Array> => pieces(messages.signed.bytes, 11);
    const before = kms.calls.decrypt;
    const found = await drain(openStream(source, { ...opening, suite: "signed", maxHeldBytes: 0 }));
    expect(found).toEqual({ given: plaintext, code: "ok" });
    expect(kms.calls.decrypt - before).toBe(1);
  });

  test("is refused at the first frame that is not as it was", async () => {
    const other = await messageIn("signed");
    for (const second of [
      other.bytes,
      concat(...messages.signed.parts.slice(0, 2), ...other.parts.slice(2)),
      patched(messages.signed.bytes, (messages.signed.parts[0].length ?? 0) + 16, [7]),
    ]) {
      let reads = 0;
      const source = (): Iterable<Uint8Array> => [reads++ === 0 ? messages.signed.bytes : second];
      const { given, code } = await drain(openStream(source, { ...opening, suite: "signed" }));
      expect(code).toBe("ERR_DATA_NOT_OPENED");
      expect(equalBytes(given, plaintext.subarray(0, given.length)) && given.length <= FRAME).toBe(true);
    }
  });

  test("gives out nothing where the first reading is refused", async () => {
    const { bytes } = messages.signed;
    const source = (): Iterable<Uint8Array> => [patched(bytes, bytes.length - 1, [1 ^ (bytes.at(-1) ?? 0)])];
    expect(await drain(openStream(source, { ...opening, suite: "signed" }))).toEqual(nothing);
  });
});

test("one code, one message, and nothing of the data in it", async () => {
  const message = await seal(plaintext, { kms, keyArn: KEY, context });
  for (const changed of [message.subarray(1), message.subarray(0, -1), patched(message, 60, [0])]) {
    const error = await open(changed, opening).catch((refusal: unknown) => refusal);
    expect(error).toMatchObject({ code: "ERR_DATA_NOT_OPENED", details: { dataset: "x" } });
    expect(String(error)).toBe("DataError: data set x is not a message sealed for this purpose, or was changed");
  }
});
