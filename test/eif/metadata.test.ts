import { describe, expect, test } from "vitest";
import { utf8 } from "../../shared/bytes.ts";
import { readMetadata, writeMetadata } from "../../shared/eif/metadata.ts";
import { readEif } from "../../shared/eif/read.ts";
import { CMDLINE, craft, KERNEL, METADATA, metadata, type Part, RAMDISK, verdict } from "./craft.ts";

const kernel: Part = [KERNEL, utf8("kernel")];
const cmdline: Part = [CMDLINE, utf8("console=ttyS0")];
const ramdisk: Part = [RAMDISK, utf8("init")];

describe("E17, E18 metadata", () => {
  const nested = (depth: number) => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  test.each<[string, Uint8Array, string]>([
    ["any object", utf8(`{"a":"\\\\\\"${"[".repeat(40)}"}`), "accepted"],
    ["not JSON", utf8("{"), "ERR_EIF_HEADER metadata"],
    ["an array", utf8("[]"), "ERR_EIF_HEADER metadata"],
    ["null", utf8("null"), "ERR_EIF_HEADER metadata"],
    ["a byte order mark", utf8("\ufeff{}"), "ERR_EIF_HEADER metadata"],
    ["not UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d), "ERR_EIF_HEADER metadata"],
    ["32 deep", utf8(nested(32)), "accepted"],
    ["33 deep", utf8(nested(33)), "ERR_EIF_HEADER metadata"],
    ["100 000 deep", utf8(nested(100_000)), "ERR_EIF_HEADER metadata"],
    ["__proto__", utf8('{"a":{"__proto__":{"b":1}}}'), "ERR_EIF_HEADER metadata"],
    ["1 MiB", utf8(`{}${" ".repeat(1024 * 1024 - 2)}`), "accepted"],
    ["1 MiB and a byte", utf8(`{}${" ".repeat(1024 * 1024 - 1)}`), "ERR_EIF_HEADER metadata"],
  ])("%s → $2", async (_, bytes, expected) => {
    expect(await verdict(() => readEif(craft([kernel, cmdline, [METADATA, bytes], ramdisk])))).toBe(expected);
  });

  test.each<[string, object, string]>([
    ["ImageName", { ImageName: undefined }, "ERR_EIF_HEADER metadata.ImageName"],
    ["ImageVersion", { ImageVersion: 1 }, "ERR_EIF_HEADER metadata.ImageVersion"],
    ["BuildMetadata", { BuildMetadata: [] }, "ERR_EIF_HEADER metadata.BuildMetadata"],
    ["BuildTime", { BuildMetadata: {} }, "ERR_EIF_HEADER metadata.BuildMetadata.BuildTime"],
    ["DockerInfo (free)", { DockerInfo: undefined }, "accepted"],
  ])("E18 without %s the image reads, its metadata: $2", async (_, change, expected) => {
    const bytes = utf8(JSON.stringify({ ...metadata, ...change }));
    expect(await verdict(() => readEif(craft([kernel, cmdline, [METADATA, bytes], ramdisk])))).toBe("accepted");
    expect(await verdict(() => readMetadata(bytes))).toBe(expected);
  });

  test("is written with AWS's keys in AWS's order", () => {
    const keys = ["ImageName", "ImageVersion", "BuildMetadata", "DockerInfo", "CustomMetadata"];
    expect(Object.keys(JSON.parse(new TextDecoder().decode(writeMetadata(metadata))))).toEqual(keys);
  });
});
