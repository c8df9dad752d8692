import { describe, expect, test } from "vitest";
import { concat, utf8 } from "../../shared/bytes.ts";
import { inspectEif } from "../../shared/eif/inspect.ts";
import { bytesSource } from "../../shared/eif/source.ts";
import { buildEif } from "../../shared/eif/write.ts";
import { CMDLINE, content, craft, KERNEL, METADATA, nodeDigests, RAMDISK } from "./craft.ts";

const warnings = async (file: Uint8Array): Promise<string[]> => {
  const { findings } = await inspectEif(bytesSource(file), { digests: nodeDigests });
  return findings.map(({ code }) => code);
};
const withCmdline = (text: string): Uint8Array =>
  craft([
    [KERNEL, utf8("kernel")],
    [CMDLINE, utf8(text)],
    [RAMDISK, utf8("init")],
    [RAMDISK, utf8("app")],
  ]);

describe("the command line", () => {
  test.each<[string, string, string[]]>([
    [
      "as AWS's blobs have it, without a NUL",
      "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on",
      [],
    ],
    ["a NUL at its end", "console=ttyS0\0", ["cmdline-nul"]],
    ["a NUL in it: what follows is measured and not read", "console=ttyS0\0init=/bin/sh", ["cmdline-nul"]],
    ["its own init", "init=/bin/sh", ["cmdline-init"]],
    ["its own init in the ramdisk", "quiet rdinit=/bin/sh", ["cmdline-init"]],
    ["its own init in quotes", '"init=/bin/sh"', ["cmdline-init"]],
    ["its own init, the value in quotes", 'init="/bin/sh -c"', ["cmdline-init"]],
    ["a quote that is not closed", '"rdinit=/bin/sh quiet', ["cmdline-init"]],
    ["a word in another's quotes", 'x="a init=/bin/sh debug"', []],
    ["debug in quotes", '"debug"', ["cmdline-debug"]],
    ["a dash, which is an underscore to the kernel", "initcall-debug", ["cmdline-debug"]],
    ["a console in quotes", '"console=tty0"', ["cmdline-console"]],
    ["AWS's console in quotes", 'console="ttyS0"', []],
    ["bootconfig", "bootconfig", ["cmdline-bootconfig"]],
    ["ramdisks elsewhere", "initrd=0x1000,4096", ["cmdline-initrd"]],
    ["a word that only ends so", "myinit=1 nodebug", []],
    ["debug", "debug", ["cmdline-debug"]],
    ["a shell", "single", ["cmdline-debug"]],
    ["a second console", "console=ttyS0 console=tty0", ["cmdline-console"]],
    ["another console", "console=hvc0", ["cmdline-console"]],
    ["a console with a speed", "console=ttyS0,115200", []],
    ["an escape", "\u001b[2J", ["cmdline-text"]],
    ["2,047 bytes", "x".repeat(2_047), []],
    ["2,048 bytes", "x".repeat(2_048), ["cmdline-length"]],
  ])("E31: %s", async (_, text, expected) => {
    expect(await warnings(withCmdline(text))).toEqual(expected);
  });
});

describe("the kernel", () => {
  const at = (offset: number, mark: string): Uint8Array =>
    concat(new Uint8Array(offset), utf8(mark), new Uint8Array(600));
  test.each<["x86_64" | "arm64", string, Uint8Array, string[]]>([
    ["x86_64", "bzImage", at(0x202, "HdrS"), []],
    ["arm64", "bzImage", at(0x202, "HdrS"), ["architecture"]],
    ["arm64", "Image", at(0x38, "ARM\x64"), []],
    ["x86_64", "Image", at(0x38, "ARM\x64"), ["architecture"]],
    ["arm64", "neither", at(0x203, "HdrS"), []],
    ["arm64", "a few bytes", utf8("kernel"), []],
  ])("E32: %s in the header, %s in the file", async (architecture, _, kernel, expected) => {
    expect(await warnings(buildEif({ ...content, architecture, kernel }))).toEqual(expected);
  });
});

test("one ramdisk: PCR2 is a constant", async () => {
  expect(await warnings(buildEif({ ...content, ramdisks: [utf8("init")] }))).toEqual(["pcr2-constant"]);
});

test("E18: metadata without AWS's fields is a warning, and the PCRs are computed", async () => {
  const parts = [
    [KERNEL, utf8("kernel")],
    [CMDLINE, utf8("c")],
    [METADATA, utf8("{}")],
    [RAMDISK, utf8("init")],
    [RAMDISK, utf8("app")],
  ] as const;
  expect(await warnings(craft(parts))).toEqual(["metadata-fields"]);
});

test.each<[string, string]>([
  ["a key twice", '{"a":1,"a":2}'],
  ["a key twice, once with an escape", '{"a":1,"b":{"c":1,"\\u0063":2}}'],
  ["a number that is none", '{"a":1e999}'],
])("E17: metadata that parsers read differently is a warning: %s", async (_, text) => {
  const parts = [
    [KERNEL, utf8("kernel")],
    [CMDLINE, utf8("c")],
    [METADATA, utf8(text)],
    [RAMDISK, utf8("init")],
    [RAMDISK, utf8("app")],
  ] as const;
  expect(await warnings(craft(parts))).toEqual(["metadata-ambiguous", "metadata-fields"]);
});
