/** One walk for memory and files, strict and collecting; measuring by pieces; what AWS's reader would do. */
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open, rename, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openDigests } from "../../image/eif-digests.ts";
import { inspectEifFile, measureEifFile, withEifSource } from "../../image/file.ts";
import { concat, toHex, utf8 } from "../../shared/bytes.ts";
import { describeEif } from "../../shared/eif/describe.ts";
import { strict } from "../../shared/eif/finding.ts";
import { type EifInspection, inspectEif } from "../../shared/eif/inspect.ts";
import { EIF_FIELD } from "../../shared/eif/layout.ts";
import { type EifMeasurements, measureEif } from "../../shared/eif/measure.ts";
import { readEif } from "../../shared/eif/read.ts";
import { bytesSource, parseBytes, parseSource } from "../../shared/eif/source.ts";
import { buildEif } from "../../shared/eif/write.ts";
import {
  baseline,
  CMDLINE,
  content,
  craft,
  KERNEL,
  METADATA,
  nodeDigests,
  type Part,
  RAMDISK,
  SIGNATURE,
  sealed,
  verdict,
  viewOf,
} from "./craft.ts";
import { anySignature } from "./signing.ts";

const folder = mkdtempSync(join(tmpdir(), "eif-source-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, bytes: Uint8Array): string => {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
};
const collect = (bytes: Uint8Array): Promise<EifInspection> =>
  inspectEif(bytesSource(bytes), { digests: nodeDigests, allowNonstandard: true });
const hex = ({ pcr0, pcr1, pcr2 }: EifMeasurements): string[] => [pcr0, pcr1, pcr2].map(toHex);

describe("one parser", () => {
  test("says the same of bytes and of a file", async () => {
    const image = craft([...base, [SIGNATURE, anySignature()]]);
    const fromBytes = parseBytes(describeEif(image.length, strict()), image);
    expect(await parseSource(describeEif(image.length, strict()), bytesSource(image))).toEqual(fromBytes);
    expect(fromBytes.sections).toEqual(readEif(image).sections);
  });

  test("reads a few kilobytes of an image, however large", async () => {
    const source = bytesSource(buildEif({ ...content, kernel: new Uint8Array(1 << 20) }));
    let read = 0;
    await parseSource(describeEif(source.size, strict()), {
      size: source.size,
      read: (offset, into) => {
        read += into.length;
        return source.read(offset, into);
      },
    });
    expect(read).toBeLessThan(2_000);
  });
});

const base: readonly Part[] = [
  [KERNEL, utf8("kernel")],
  [CMDLINE, utf8("console=ttyS0")],
  [RAMDISK, utf8("init")],
  [RAMDISK, utf8("app")],
];
const [kernel, cmdline, init, app] = base as [Part, Part, Part, Part];
const extra: Part = [METADATA, utf8("{}")];

describe("measuring by pieces", () => {
  test.each([0, 1, 8])("gives what measuring in memory gives, %d MiB and a bit, in one thread or two", async (mib) => {
    const ramdisk = randomFillSync(new Uint8Array(mib * 2 ** 20 + 12_345));
    const image = buildEif({ ...content, ramdisks: [utf8("init"), ramdisk, utf8("more")] });
    const expected = hex(await measureEif(readEif(image)));
    const path = file("pieces.eif", image);
    expect(hex(await measureEifFile(path))).toEqual(expected);
    for (const size of [0, 1 << 30]) {
      await using digests = openDigests(size);
      expect(hex((await inspectEif(bytesSource(image), { digests })).measurements)).toEqual(expected);
    }
  });

  test("each section's digest is of its content alone", async () => {
    const { sectionDigests } = await inspectEif(bytesSource(craft(base)), { digests: nodeDigests, eachSection: true });
    const digests = await Promise.all(base.map(([, bytes]) => crypto.subtle.digest("SHA-384", Uint8Array.from(bytes))));
    expect(sectionDigests.map(toHex)).toEqual(digests.map((digest) => toHex(new Uint8Array(digest))));
  });

  test("a failure in the second thread is an error, not a hang", async () => {
    await using digests = openDigests(1 << 30);
    const image = digests.sha384("image");
    await expect(Promise.resolve(image.update("no bytes" as never))).resolves.toBeUndefined();
    await expect(Promise.resolve(image.update(7 as never))).rejects.toThrow(TypeError);
    await expect(Promise.resolve(image.value())).rejects.toThrow(TypeError);
  });

  test("E10 a wrong checksum is seen in the pass over the file", async () => {
    const wrong = baseline();
    viewOf(wrong).setUint32(EIF_FIELD.crc, viewOf(wrong).getUint32(EIF_FIELD.crc) ^ 1);
    expect(await verdict(() => measureEifFile(file("crc.eif", wrong)))).toBe("ERR_EIF_CRC");
  });
});

describe("collecting: measured as AWS's reader would, and where it differs", () => {
  const changed = (change: (view: DataView) => void): Uint8Array => {
    const bytes = craft(base);
    change(viewOf(bytes));
    return sealed(bytes);
  };
  // AWS's crate 0.8.1 was run on these once: where it reads them at all (it refuses metadata that is not its own), its PCRs are these.
  test.each<[string, Uint8Array, string, string]>([
    ["E01 magic", changed((v) => v.setUint8(0, 0x2f)), "ERR_EIF_HEADER", "does not check"],
    ["E02 version 9", changed((v) => v.setUint16(4, 9)), "ERR_EIF_HEADER", "does not check"],
    ["E02 a reserved flag", changed((v) => v.setUint16(6, 2)), "ERR_EIF_HEADER", "does not check"],
    ["E03 a section too many", changed((v) => v.setUint16(26, 5)), "ERR_EIF_SECTION", "does not count"],
    ["E04 an offset", changed((v) => v.setBigUint64(36, 1n)), "ERR_EIF_SECTION", "ignores the header"],
    ["E05 a size", changed((v) => v.setBigUint64(284, 1n)), "ERR_EIF_SECTION", "ignores the header"],
    ["E07 11 bytes behind", sealed(concat(craft(base), new Uint8Array(11))), "ERR_EIF_SECTION", "no PCR measures"],
    ["E10 checksum", craft(base).with(EIF_FIELD.crc, 1), "ERR_EIF_CRC", "refuses nothing"],
    ["E17 metadata twice", craft([kernel, cmdline, extra, init, app, extra]), "ERR_EIF_SECTION", "keeps the last"],
    ["E17 metadata not JSON", craft([...base, [METADATA, utf8("{")]]), "ERR_EIF_HEADER", "refuses the image"],
    ["E19 two signatures", craft([...base, sig(), sig()]), "ERR_EIF_SECTION", "certificates of all"],
    ["E16 an empty ramdisk", craft([...base, [RAMDISK, new Uint8Array()]]), "ERR_EIF_SECTION", "takes it"],
  ])("%s: the same PCRs, and a finding", async (_, bytes, code, aws) => {
    const { findings, measurements } = await collect(bytes);
    expect(hex(measurements)).toEqual(hex(await measureEif(readEif(craft(base)))));
    const errors = findings.filter((finding) => finding.severity === "error");
    expect(errors.map((finding) => finding.code)).toContain(code);
    expect(errors.map((finding) => finding.aws).join()).toContain(aws);
    expect((await verdict(() => readEif(bytes))).startsWith(code)).toBe(true);
  });

  function sig(): Part {
    return [SIGNATURE, anySignature()];
  }

  test("E19 of two signatures no PCR8 is given", async () => {
    expect((await collect(craft([...base, sig()]))).measurements.pcr8).toHaveLength(48);
    expect((await collect(craft([...base, sig(), sig()]))).measurements.pcr8).toBeUndefined();
  });

  test.each<[string, readonly Part[], readonly string[], readonly string[], readonly string[]]>([
    [
      "E13 a ramdisk before the command line",
      [kernel, init, cmdline, app],
      ["kernel", "init", "console=ttyS0", "app"],
      ["kernel", "init", "console=ttyS0"],
      ["app"],
    ],
    [
      "E13 the command line last",
      [kernel, init, app, cmdline],
      ["kernel", "init", "app", "console=ttyS0"],
      ["kernel", "init", "console=ttyS0"],
      ["app"],
    ],
    [
      "E12 two kernels",
      [kernel, kernel, cmdline, init],
      ["kernel", "kernel", "console=ttyS0", "init"],
      ["kernel", "kernel", "console=ttyS0", "init"],
      [],
    ],
    ["E12 no kernel", [cmdline, init, app], ["console=ttyS0", "init", "app"], ["console=ttyS0", "init"], ["app"]],
    ["E12 no ramdisk", [kernel, cmdline, extra], ["kernel", "console=ttyS0"], ["kernel", "console=ttyS0"], []],
  ])("%s: measured in the order of the file", async (_, parts, image, boot, rest) => {
    const { measurements, findings } = await collect(craft(parts));
    const pcr = async (words: readonly string[]): Promise<string> => {
      const eif = { kernel: utf8(words.join("")), cmdline: new Uint8Array(), ramdisks: [new Uint8Array()] };
      return toHex((await measureEif(eif)).pcr0);
    };
    expect(hex(measurements)).toEqual([await pcr(image), await pcr(boot), await pcr(rest)]);
    expect(findings.filter(({ severity }) => severity === "error").length).toBeGreaterThan(0);
  });

  test("E12 30 ramdisks are measured, all but the first for PCR2", async () => {
    const { measurements } = await collect(craft([kernel, cmdline, ...Array<Part>(30).fill(app)]));
    const { pcr2 } = await measureEif(readEif(craft([kernel, cmdline, init, [RAMDISK, utf8("app".repeat(29))]])));
    expect(toHex(measurements.pcr2)).toBe(toHex(pcr2));
  });

  test.each<[string, Uint8Array, string]>([
    ["E08 a section longer than the file", changed((v) => v.setBigUint64(552, 1n << 63n)), "ERR_EIF_SECTION 0"],
    ["E11 type 6", changed((v) => v.setUint16(548, 6)), "ERR_EIF_SECTION 0"],
    ["E01 547 bytes", new Uint8Array(547), "ERR_EIF_HEADER length"],
    ["endless empty sections", concat(craft(base), manyEmpty(2_000)), "ERR_EIF_SECTION 1024"],
  ])("%s: refused all the same", async (_, bytes, expected) => {
    expect(await verdict(() => collect(bytes))).toBe(expected);
  });

  function manyEmpty(count: number): Uint8Array {
    return concat(...Array<Uint8Array>(count).fill(Uint8Array.of(0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
  }
});

describe("files", () => {
  const sparse = (bytes: number): string => {
    const image = buildEif(content);
    const view = viewOf(image);
    view.setBigUint64(EIF_FIELD.sizes + 8 * 4, BigInt(bytes));
    view.setBigUint64(image.length - 3 - 8, BigInt(bytes));
    const path = file("sparse.eif", image);
    truncateSync(path, image.length - 3 + bytes);
    return path;
  };

  test("E09: a sparse file of 8 GiB is walked in no time and no memory", async () => {
    const before = process.memoryUsage().rss;
    await withEifSource(sparse(8 * 2 ** 30), async (source) => {
      const { sections } = await parseSource(describeEif(source.size, strict()), source);
      expect(sections.at(-1)?.size).toBe(8 * 2 ** 30);
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  test(`E09: a sparse file of ${process.env["SLOW"] ? "8 GiB" : "256 MiB"} is measured in 64 MiB`, {
    timeout: 180_000,
  }, async () => {
    const path = sparse(process.env["SLOW"] ? 8 * 2 ** 30 : 2 ** 28);
    const before = process.memoryUsage().rss;
    // The checksum in it is of another file: the last thing that is found.
    expect(await verdict(() => measureEifFile(path))).toBe("ERR_EIF_CRC");
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  test("E29: another file that takes its name while it is read is not what is measured", async () => {
    const [path, next] = [file("now.eif", baseline()), file("next.eif", craft(base))];
    const inspection = await withEifSource(path, async (source) => {
      await rename(next, path);
      return inspectEif(source, { digests: nodeDigests });
    }).catch((error: unknown) => error);
    // The old file lost its name, which is a change of it: refused, or it is the old one that was measured.
    expect(inspection).toMatchObject({ code: "ERR_EIF_FILE" });
  });

  test.each<[string, (path: string) => Promise<void>]>([
    ["grew", (path) => writeFile(path, "x", { flag: "a" })],
    ["shrank", async (path) => truncateSync(path, 600)],
    ["has another byte", async (path) => void (await write(path, 700))],
    [
      "has another byte and its old times",
      async (path) => {
        await write(path, 700);
        await utimes(path, 1, 1);
      },
    ],
  ])("E29: a file that %s while it is read is refused", async (_, change) => {
    const path = file("changing.eif", craft(base));
    await utimes(path, 1, 1);
    const run = withEifSource(path, async (source) => {
      await source.read(0, new Uint8Array(548));
      await change(path);
      return source.size;
    });
    expect(await verdict(() => run)).toBe("ERR_EIF_FILE");
  });

  async function write(path: string, at: number): Promise<void> {
    await using handle = await open(path, "r+");
    await handle.write("x", at);
  }

  test("E30: a folder and a device are refused by the reader of pieces too", async () => {
    expect(await verdict(() => inspectEifFile(folder))).toBe("ERR_EIF_FILE");
    expect(await verdict(() => inspectEifFile("/dev/zero"))).toBe("ERR_EIF_FILE");
    expect(await verdict(() => inspectEifFile(join(folder, "nothing")))).toBe("ERR_EIF_FILE");
  });
});
