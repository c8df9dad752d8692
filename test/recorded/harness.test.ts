/**
 * The comparison itself: what it lets pass, and that it lets nothing else pass.
 */
import { describe, expect, test } from "vitest";
import { Bindings, compare, type Recorded } from "./harness.ts";

const KEY = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER = "ffffabcd-12ab-34cd-56ef-1234567890ab";
const ARN = `arn:aws:kms:us-east-1:111111111111:key/${KEY}`;
const MATERIAL = "0f".repeat(32);

function paths(expected: Recorded, actual: unknown, bindings: Bindings = new Bindings()): readonly string[] {
  return compare({ expected, actual }, bindings).map(({ path }) => path);
}

describe("comparing with a recorded answer", () => {
  const error = {
    Error: { Code: "DisabledException", Message: "<key-arn> is disabled." },
    message: "<key-arn> is disabled.",
    ResponseMetadata: { HTTPHeaders: {}, HTTPStatusCode: 400 },
  };
  const actual = {
    Error: { Code: "DisabledException", Message: `${ARN} is disabled.` },
    message: `${ARN} is disabled.`,
    ResponseMetadata: { HTTPHeaders: {}, HTTPStatusCode: 400 },
  };

  test("the same answer agrees", () => expect(paths(error, actual)).toEqual([]));

  test("one character of a message, anywhere, is a difference", () => {
    const { message } = actual;
    const captures = { "<key-arn>": ARN };
    for (let at = 0; at < message.length; at++) {
      // "0" for a digit, so that an ARN stays one: the recipe says which it must be.
      const other = message.charAt(at) === "0" ? "1" : "0";
      const changed = { ...actual, message: message.slice(0, at) + other + message.slice(at + 1) };
      const found = compare({ expected: error, actual: changed, captures }, new Bindings());
      expect(
        found.map(({ path }) => path),
        changed.message,
      ).toEqual(["$.message"]);
    }
    expect(paths(error, { ...actual, message: message.slice(0, -1) })).toEqual(["$.message"]);
    expect(paths(error, { ...actual, message: `${message} ` })).toEqual(["$.message"]);
  });

  test("another status, another code, a number as text are differences", () => {
    const status = { HTTPHeaders: {}, HTTPStatusCode: 404 };
    expect(paths(error, { ...actual, ResponseMetadata: status })).toEqual(["$.ResponseMetadata.HTTPStatusCode"]);
    const text = { HTTPHeaders: {}, HTTPStatusCode: "400" };
    expect(paths(error, { ...actual, ResponseMetadata: text })).toEqual(["$.ResponseMetadata.HTTPStatusCode"]);
    expect(paths(error, { ...actual, Error: { ...actual.Error, Code: "Disabled" } })).toEqual(["$.Error.Code"]);
  });

  test("a member too many and a member too few are differences", () => {
    const { message: _, ...fewer } = actual;
    expect(paths(error, fewer)).toEqual(["$.message"]);
    expect(paths(error, { ...actual, Retryable: false })).toEqual(["$.Retryable"]);
    expect(paths({ a: {} }, { a: undefined })).toEqual(["$.a"]);
  });

  test("lists agree in length and order", () => {
    expect(paths(["a", "b"], ["a", "b"])).toEqual([]);
    expect(paths(["a", "b"], ["b", "a"])).toEqual(["$[0]", "$[1]"]);
    expect(paths(["a"], ["a", "b"])).toEqual(["$"]);
    expect(paths([], {})).toEqual(["$"]);
  });
});

describe("binding placeholders", () => {
  test("a numbered placeholder is the same value wherever it stands", () => {
    const recorded = { Arn: "arn:aws:kms:us-east-1:111111111111:key/<key-id:1>", KeyId: "<key-id:1>" };
    expect(paths(recorded, { Arn: ARN, KeyId: KEY })).toEqual([]);
    expect(paths(recorded, { Arn: ARN, KeyId: OTHER })).toEqual(["$.KeyId"]);
    expect(paths(recorded, { Arn: ARN, KeyId: ARN })).toEqual(["$.KeyId"]);
  });

  test("bindings last from answer to answer", () => {
    const bindings = new Bindings();
    expect(paths("<key-id:1>", KEY, bindings)).toEqual([]);
    expect(paths("<key-id:1> is pending import.", `${OTHER} is pending import.`, bindings)).toEqual(["$"]);
  });

  test("two numbers are two values", () => {
    const recorded = ["<key-material-id:1>", "<key-material-id:2>"];
    expect(paths(recorded, [MATERIAL, "1f".repeat(32)])).toEqual([]);
    expect(paths(recorded, [MATERIAL, MATERIAL])).toEqual(["$[1]"]);
  });

  test("what the recipe captured is what must stand there", () => {
    const captures = { "<key-arn>": ARN };
    const other = ARN.replace(KEY, OTHER);
    expect(compare({ expected: "<key-arn>", actual: ARN, captures }, new Bindings())).toEqual([]);
    expect(compare({ expected: "<key-arn>", actual: other, captures }, new Bindings())).toHaveLength(1);
    const bindings = new Bindings([["<key-id:1>", OTHER]]);
    expect(compare({ expected: {}, actual: {}, captures: { "<key-id:1>": KEY } }, bindings)).toHaveLength(1);
  });

  test("a value has its placeholder's form", () => {
    expect(paths("<key-material-id>", MATERIAL)).toEqual([]);
    expect(paths("<key-material-id>", MATERIAL.toUpperCase())).toEqual(["$"]);
    expect(paths("<key-arn>", KEY)).toEqual(["$"]);
    expect(paths("<mrk-key-arn>", ARN)).toEqual(["$"]);
    expect(paths("<role-id:1>:<role-session-name:1>", "AROAAAAABBBBCCCCDDDDE:me")).toEqual([]);
    expect(paths("<role-id:1>:<role-session-name:1>", "111111111111:me")).toEqual(["$"]);
  });

  test("times are times and bytes are bytes, at least one", () => {
    expect(paths({ a: "datetime", b: "<datetime>" }, { a: new Date(0), b: new Date(0) })).toEqual([]);
    expect(paths("datetime", 1_700_000_000)).toEqual(["$"]);
    expect(paths("datetime", new Date(Number.NaN))).toEqual(["$"]);
    expect(paths("datetime", "datetime")).toEqual(["$"]);
    expect(paths("ciphertext-blob", Uint8Array.of(1))).toEqual([]);
    expect(paths("ciphertext-blob", new Uint8Array())).toEqual(["$"]);
    expect(paths("<mac>", "<mac>")).toEqual(["$"]);
  });

  test("a policy may come as its JSON text", () => {
    expect(paths({ Version: "2012-10-17" }, '{ "Version" : "2012-10-17" }')).toEqual([]);
    expect(paths({ Version: "2012-10-17" }, '{ "Version" : "2008-10-17" }')).toEqual(["$.Version"]);
    expect(paths({ Version: "2012-10-17" }, "{")).toEqual(["$"]);
  });

  test("a placeholder of no known form is the recording's reader's mistake", () => {
    expect(() => paths("<unheard-of:1>", "x")).toThrow(TypeError);
  });
});
