import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { concat, toHex, utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { readEif } from "../../shared/eif/read.ts";
import { buildEif } from "../../shared/eif/write.ts";
import { extendPcr, zeroPcr } from "../../shared/nsm/pcr.ts";
import { CMDLINE, content, craft, KERNEL, RAMDISK } from "./craft.ts";

const measureFile = async (file: Uint8Array) => {
  const { pcr0, pcr1, pcr2 } = await measureEif(readEif(file));
  return { pcr0: toHex(pcr0), pcr1: toHex(pcr1), pcr2: toHex(pcr2) };
};
const measure = (change: Partial<typeof content> = {}) => measureFile(buildEif({ ...content, ...change }));

/** The algorithm a second time, with another library, from the words of the specification. */
function reference(...parts: readonly Uint8Array[]): string {
  const inner = createHash("sha384");
  for (const part of parts) inner.update(part);
  return createHash("sha384").update(Buffer.alloc(48)).update(inner.digest()).digest("hex");
}

describe("measureEif", () => {
  test("PCR2 of an image with one ramdisk is the constant seen in genuine documents", async () => {
    const { pcr0, pcr1, pcr2 } = await measure({ ramdisks: [utf8("init")] });
    expect(pcr2.slice(0, 16)).toBe("21b9efbc18480766");
    expect(pcr0).toBe(pcr1);
  });

  test("hashes what it says it hashes", async () => {
    const [kernel, cmdline, init, a, b] = [utf8("kernel"), utf8("console=tty"), utf8("init"), utf8("a"), utf8("b")];
    const sections = { kernel, cmdline: "console=tty", ramdisks: [init, a, b] };
    expect(await measure(sections)).toEqual({
      pcr0: reference(kernel, cmdline, init, a, b),
      pcr1: reference(kernel, cmdline, init),
      pcr2: reference(a, b),
    });
  });

  test.each<[string, Partial<typeof content>, readonly string[]]>([
    ["kernel", { kernel: utf8("kernal") }, ["pcr0", "pcr1"]],
    ["cmdline", { cmdline: "console=ttyS1" }, ["pcr0", "pcr1"]],
    ["first ramdisk", { ramdisks: [utf8("Init"), utf8("app")] }, ["pcr0", "pcr1"]],
    ["second ramdisk", { ramdisks: [utf8("init"), utf8("apq")] }, ["pcr0", "pcr2"]],
    ["metadata", { metadata: undefined as never }, []],
    ["architecture", { architecture: "arm64" }, []],
  ])("one byte of the %s changes $2", async (_, change, expected) => {
    const [before, after] = [await measure(), await measure(change)];
    expect(Object.keys(before).filter((k) => before[k as "pcr0"] !== after[k as "pcr0"])).toEqual(expected);
  });

  test("E14 bytes moved from the command line to the first ramdisk: equal PCRs, another section table", async () => {
    const twin = buildEif({ ...content, cmdline: "console=tty", ramdisks: [utf8("S0init"), utf8("app")] });
    const original = buildEif(content);
    expect(await measureFile(twin)).toEqual(await measureFile(original));
    expect(readEif(twin).sections).not.toEqual(readEif(original).sections);
  });

  test("E15 the application's ramdisk split in two: equal PCRs; the boundary to the first moved: PCR1 and PCR2 differ", async () => {
    const before = await measure();
    expect(await measure({ ramdisks: [utf8("init"), utf8("a"), utf8("pp")] })).toEqual(before);
    const moved = await measure({ ramdisks: [utf8("inita"), utf8("pp")] });
    expect([moved.pcr0 === before.pcr0, moved.pcr1 === before.pcr1, moved.pcr2 === before.pcr2]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("no section header is measured", async () => {
    const parts = [
      [KERNEL, utf8("k")],
      [CMDLINE, utf8("c")],
      [RAMDISK, utf8("r")],
    ] as const;
    expect((await measureFile(craft(parts))).pcr0).toBe(reference(utf8("kcr")));
  });
});

test("extendPcr: SHA-384(old ‖ data), of 48 bytes only", async () => {
  const wanted = createHash("sha384")
    .update(concat(zeroPcr(), utf8("i-0")))
    .digest("hex");
  expect(toHex(await extendPcr(zeroPcr(), utf8("i-0")))).toBe(wanted);
  await expect(extendPcr(new Uint8Array(47), utf8("x"))).rejects.toThrow(RangeError);
});
