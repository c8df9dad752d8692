import { describe, expect, test } from "vitest";
import { search } from "../../cli/demo/canary.ts";
import { utf8 } from "../../shared/bytes.ts";

const SECRET = "canary-7f3a9c";
const canary = { name: "secret", bytes: utf8(SECRET) };
const found = (text: string | Buffer): boolean => search(Buffer.concat([Buffer.from(text)]), [canary]).length > 0;

describe("the search for canaries", () => {
  test.each([
    ["as it is", SECRET],
    ["hex", Buffer.from(SECRET).toString("hex")],
    ["upper-case hex", Buffer.from(SECRET).toString("hex").toUpperCase()],
    ["UTF-16", Buffer.from(SECRET, "utf16le")],
    ["reversed", [...SECRET].reverse().join("")],
    ["base64", Buffer.from(SECRET).toString("base64")],
    ["base64 after one byte", Buffer.from(`x${SECRET}y`).toString("base64")],
    ["base64 after two bytes", Buffer.from(`xx${SECRET}y`).toString("base64")],
    ["base64url after one byte", Buffer.from(`\u00ff${SECRET}`, "latin1").toString("base64url")],
  ])("finds it %s", (_, text) => {
    expect(found(Buffer.concat([Buffer.from("before "), Buffer.from(text), Buffer.from(" after")]))).toBe(true);
  });

  test("finds nothing where nothing is", () => {
    expect(found("canary-7f3a9d and other bytes")).toBe(false);
  });
});
