import { describe, expect, test } from "vitest";
import { utf8 } from "../../shared/bytes.ts";
import { buildEif } from "../../shared/eif/write.ts";
import { content, metadata, verdict } from "./craft.ts";

describe("the builder refuses", () => {
  test.each<[string, Partial<typeof content>]>([
    ["a NUL in the command line", { cmdline: "a\0b" }],
    ["an empty command line", { cmdline: "" }],
    ["an empty kernel", { kernel: new Uint8Array() }],
    ["no ramdisk", { ramdisks: [] }],
    ["an empty ramdisk", { ramdisks: [utf8("init"), new Uint8Array()] }],
    ["17 ramdisks", { ramdisks: Array(17).fill(utf8("r")) }],
    ["metadata above 1 MiB", { metadata: { ...metadata, ImageName: "x".repeat(1024 * 1024) } }],
  ])("%s", async (_, change) => {
    expect(await verdict(() => buildEif({ ...content, ...change }))).toBe("RangeError");
  });
});
