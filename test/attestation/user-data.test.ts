/** User data for a purpose: what is written is read back, and nothing else is read. */
import { describe, expect, test } from "vitest";
import { encodeUserData, readUserData, type UserData } from "../../shared/attestation/index.ts";
import { utf8 } from "../../shared/bytes.ts";

const digest = new Uint8Array(48).fill(0xa5);
const written = (fields: Partial<UserData> = {}): string =>
  new TextDecoder().decode(encodeUserData({ purpose: "result", digest, ...fields }));
const read = (text: string): UserData | undefined => readUserData(utf8(text));

describe("encodeUserData", () => {
  test.each<[string, Partial<UserData>]>([
    ["a capital", { purpose: "Result" }],
    ["nothing", { purpose: "" }],
    ["a digit in front", { purpose: "9a" }],
    ["a space in front", { purpose: " result" }],
    ["a quote behind", { purpose: 'result"' }],
    ["another field behind", { purpose: 'result","v":2,"x":"' }],
    ["33 letters", { purpose: "a".repeat(33) }],
    ["a digest of 47 bytes", { digest: digest.subarray(1) }],
    ["a digest of 49 bytes", { digest: new Uint8Array(49) }],
    ["version -1", { imageVersion: -1 }],
    ["version 1.5", { imageVersion: 1.5 }],
    ["version 2^53", { imageVersion: 2 ** 53 }],
  ])("refuses %s", (_, fields) => expect(() => written(fields)).toThrow(RangeError));

  test.each<UserData>([
    { purpose: "result", digest },
    { purpose: "a", digest, imageVersion: 0 },
    { purpose: `a${"9".repeat(30)}-`, digest, imageVersion: 10 },
    { purpose: "kms-key-2", digest, imageVersion: 1_234_567_890 },
    { purpose: "result", digest, imageVersion: Number.MAX_SAFE_INTEGER },
  ])("writes what readUserData reads back: %o", (fields) => {
    expect(readUserData(encodeUserData(fields))).toStrictEqual(fields);
  });

  test("has one form", () => {
    const hex = "a5".repeat(48);
    expect(written()).toBe(`{"v":1,"purpose":"result","digest":"${hex}"}`);
    expect(written({ imageVersion: 7 })).toBe(`{"v":1,"purpose":"result","digest":"${hex}","imageVersion":7}`);
  });
});

test.each([
  ["a letter in front", (text: string) => `x${text}`],
  ["a space in front", (text: string) => ` ${text}`],
  ["a letter behind", (text: string) => `${text}x`],
  ["a newline behind", (text: string) => `${text}\n`],
  ["itself behind", (text: string) => `${text}${text}`],
  ["the digest in capitals", (text: string) => text.replaceAll("a5", "A5")],
  ["a version with a zero in front", (text: string) => text.replace(":7}", ":07}")],
  ["a version with a sign", (text: string) => text.replace(":7}", ":+7}")],
  ["a version with an exponent", (text: string) => text.replace(":7}", ":7e1}")],
  ["another v", (text: string) => text.replace('"v":1', '"v":2')],
  ["nothing", () => ""],
])("%s is not read, and nothing is thrown", (_, edit) => {
  const text = written({ imageVersion: 7 });
  expect(read(text)?.imageVersion).toBe(7);
  expect(edit(text)).not.toBe(text);
  expect(read(edit(text))).toBeUndefined();
});
