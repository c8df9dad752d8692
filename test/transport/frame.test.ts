import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeFrame, FRAME_MAX, type Frame, FrameDecoder } from "../../shared/transport/frame.ts";
import { JSON_DEPTH_MAX, JSON_KEYS_MAX, parseJson } from "../../shared/transport/json.ts";

const REQUEST: Frame = { type: "request", id: 7, body: { method: "m", params: { text: "grüße" } } };

function header(length: number, type = 1, id = 1): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(type, 4);
  bytes.writeUInt32BE(id, 5);
  return bytes;
}

function raw(payload: string | Uint8Array, type = 1): Buffer {
  const bytes = Buffer.from(payload as string);
  return Buffer.concat([header(5 + bytes.length, type), bytes]);
}

/** Frames, or the code of the error, however the bytes are cut. */
function decode(bytes: Uint8Array, chunkBytes = bytes.length, maxBytes = FRAME_MAX): Frame[] | string {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(frame), maxBytes);
  try {
    for (let at = 0; at < bytes.length; at += chunkBytes) decoder.push(bytes.subarray(at, at + chunkBytes));
    decoder.end();
    return frames;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("frames", () => {
  test("the bytes are the ones of the format", () => {
    const bytes = encodeFrame({ type: "event", id: 0x01020304, body: [1] });
    expect(Buffer.from(bytes).toString("hex")).toBe(`00000008${"04"}01020304${Buffer.from("[1]").toString("hex")}`);
  });

  test.each(["request", "response", "error", "event"] as const)("%s decodes to what was encoded", (type) => {
    const frame: Frame = { ...REQUEST, type };
    expect(decode(encodeFrame(frame))).toEqual([frame]);
  });

  test.each([
    ["V01: length 0", header(0), "ERR_TRANSPORT_FRAME_INVALID"],
    ["V01: length 5, no payload", header(5), "ERR_TRANSPORT_FRAME_INVALID"],
    ["V01: length one above the cap", header(FRAME_MAX + 1), "ERR_TRANSPORT_FRAME_TOO_LARGE"],
    ["V01: length 0xffffffff", header(0xffff_ffff), "ERR_TRANSPORT_FRAME_TOO_LARGE"],
    ["V01: length at the cap is waited for", header(FRAME_MAX), "ERR_TRANSPORT_FRAME_TRUNCATED"],
    ["V04: 3 bytes, then the end", header(9).subarray(0, 3), "ERR_TRANSPORT_FRAME_TRUNCATED"],
    ["V04: the length, then the end", header(9).subarray(0, 4), "ERR_TRANSPORT_FRAME_TRUNCATED"],
    ["V04: all but one byte, then the end", raw("[]").subarray(0, -1), "ERR_TRANSPORT_FRAME_TRUNCATED"],
    ["V11: type 0", raw("[]", 0), "ERR_TRANSPORT_FRAME_INVALID"],
    ["V11: type 5", raw("[]", 5), "ERR_TRANSPORT_FRAME_INVALID"],
    ["V19: payload that is no JSON", raw("{"), "ERR_TRANSPORT_FRAME_INVALID"],
  ])("%s", (_, bytes, code) => {
    expect(decode(bytes)).toBe(code);
    expect(decode(bytes, 1)).toBe(code);
  });

  test.each([0, 5_000])("V01: what is announced is not allocated, after %d bytes of payload", (count) => {
    const decoders = Array.from({ length: 300 }, () => new FrameDecoder(() => {}));
    const before = process.memoryUsage();
    for (const decoder of decoders) {
      decoder.push(header(FRAME_MAX));
      decoder.push(new Uint8Array(count));
    }
    const after = process.memoryUsage();
    // 300 times 1 MiB were announced.
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(32 * FRAME_MAX);
  });

  test("V10: three frames decode alike, cut at every place and in pieces of every size", () => {
    const bytes = Buffer.concat([
      encodeFrame(REQUEST),
      encodeFrame({ ...REQUEST, id: 8, type: "response", body: "x".repeat(300) }),
      encodeFrame({ ...REQUEST, id: 0, type: "event" }),
    ]);
    const whole = decode(bytes);
    expect(whole).toHaveLength(3);
    for (let size = 1; size <= bytes.length; size++) expect(decode(bytes, size)).toEqual(whole);
    for (let at = 0; at <= bytes.length; at++) {
      const frames: Frame[] = [];
      const decoder = new FrameDecoder((frame) => frames.push(frame));
      decoder.push(bytes.subarray(0, at));
      decoder.push(bytes.subarray(at));
      expect(frames).toEqual(whole);
    }
  });

  test("V10: a million single bytes are one frame, and cost no more than the bytes", () => {
    const frame: Frame = { ...REQUEST, body: "y".repeat(1_000_000) };
    expect(decode(encodeFrame(frame), 1)).toEqual([frame]);
  });

  test("V10: a frame that grows past 64 KiB keeps its bytes", () => {
    const frame: Frame = { ...REQUEST, body: Array.from({ length: 20_000 }, (_, i) => i) };
    expect(decode(encodeFrame(frame), 65_536)).toEqual([frame]);
    expect(decode(Buffer.concat([encodeFrame(frame), encodeFrame(REQUEST)]), 4_099)).toEqual([frame, REQUEST]);
  });

  test("what is too large is not sent", () => {
    const frame: Frame = { ...REQUEST, body: "z".repeat(100) };
    expect(() => encodeFrame(frame, 50)).toThrow(expect.objectContaining({ code: "ERR_TRANSPORT_FRAME_TOO_LARGE" }));
  });

  test.each([0, 5, 16_777_217, 1.5])("a limit of %d bytes is a mistake", (limit) => {
    expect(() => new FrameDecoder(() => {}, limit)).toThrow(RangeError);
  });

  test("any bytes give frames or one of three codes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const result = decode(bytes);
        if (typeof result === "string") expect(result).toMatch(/^ERR_TRANSPORT_FRAME_(INVALID|TOO_LARGE|TRUNCATED)$/);
      }),
    );
  });
});

describe("V19: JSON of a hostile peer", () => {
  const deep = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  const keys = (count: number): string =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [i, 0])));

  test.each([
    ["nesting one too deep", deep(JSON_DEPTH_MAX + 1)],
    ["nesting 100 000 deep", deep(100_000)],
    ["objects one too deep", `${'{"a":'.repeat(JSON_DEPTH_MAX + 1)}1${"}".repeat(JSON_DEPTH_MAX + 1)}`],
    ["a __proto__ key", '{"__proto__":{"admin":true}}'],
    ["a __proto__ key in escapes", '{"\\u005f_proto__":1}'],
    ["a __proto__ key deep inside", '[{"a":[{"__proto__" :1}]}]'],
    ["a key twice", '{"a":1,"a":2}'],
    ["a key twice, once in escapes", '{"a":1,"\\u0061":2}'],
    ["a key twice with other objects between", '{"a":{"b":1},"c":[{"b":1}],"a":2}'],
    ["one key too many", keys(JSON_KEYS_MAX + 1)],
    ["NaN", "[NaN]"],
    ["a number beyond a double", "[1e999]"],
    ["the same, negative", "-1e999"],
    ["a byte order mark", "\ufeff{}"],
    ["nothing", ""],
    ["two values", "1 2"],
    ["an open string", '"abc'],
    ["a bad escape in a key", '{"\\x":1}'],
    ["a single quote", "{'a':1}"],
  ])("%s is refused", (_, text) => {
    expect(() => parseJson(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: "ERR_TRANSPORT_FRAME_INVALID" }),
    );
  });

  test.each([
    ["an overlong form", [0x22, 0xc0, 0xaf, 0x22]],
    ["a surrogate", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["a cut character", [0x22, 0xe2, 0x82, 0x22]],
  ])("UTF-8 with %s is refused", (_, bytes) => {
    expect(() => parseJson(Uint8Array.from(bytes))).toThrow(
      expect.objectContaining({ code: "ERR_TRANSPORT_FRAME_INVALID" }),
    );
  });

  test.each([
    ["as deep as may be", deep(JSON_DEPTH_MAX)],
    ["as many keys as may be", keys(JSON_KEYS_MAX)],
    ["one key in two objects", '[{"a":1},{"a":2},{"b":{"a":3}}]'],
    ["brackets and colons in strings", '{"a{[":"}]:\\"{","b":"\\\\"}'],
    ["__proto__ as a value", '{"a":"__proto__"}'],
    ["numbers", "[0,-1,1.5e3,-0.1,1e-9]"],
  ])("%s is accepted", (_, text) => {
    expect(parseJson(Buffer.from(text))).toEqual(JSON.parse(text));
  });

  test("what JSON.stringify writes is read back", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes("__proto__"));
        expect(parseJson(Buffer.from(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("G02: an error holds nothing of the text", () => {
    try {
      parseJson(Buffer.from('{"key": canary-b5f1}'));
      expect.unreachable();
    } catch (error) {
      const { inspect } = process.getBuiltinModule("node:util");
      expect(inspect(error, { showHidden: true, depth: null })).not.toContain("canary");
    }
  });
});
