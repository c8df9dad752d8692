/** Each row is the accepted baseline with one thing changed; numbers are those of the list of negative cases. */
import { describe, expect, test } from "vitest";
import { concat, utf8 } from "../../shared/bytes.ts";
import { crc32 } from "../../shared/eif/crc32.ts";
import { EIF_FIELD, EIF_HEADER_BYTES } from "../../shared/eif/layout.ts";
import { readMetadata } from "../../shared/eif/metadata.ts";
import { readEif } from "../../shared/eif/read.ts";
import { buildEif } from "../../shared/eif/write.ts";
import {
  baseline,
  CMDLINE,
  content,
  craft,
  KERNEL,
  METADATA,
  metadata,
  type Part,
  RAMDISK,
  SIGNATURE,
  sealed,
  verdict,
  viewOf,
} from "./craft.ts";
import { anySignature } from "./signing.ts";

const kernel: Part = [KERNEL, utf8("kernel")];
const cmdline: Part = [CMDLINE, utf8("console=ttyS0")];
const ramdisk: Part = [RAMDISK, utf8("init")];
const signature: Part = [SIGNATURE, anySignature()];
const meta: Part = [METADATA, utf8("{}")];

describe("the baseline", () => {
  test("reads back what was written", () => {
    const eif = readEif(baseline());
    expect(eif.kernel).toEqual(content.kernel);
    expect(eif.cmdline).toEqual(utf8(content.cmdline));
    expect(eif.ramdisks).toEqual(content.ramdisks);
    expect(readMetadata(eif.metadata ?? new Uint8Array())).toEqual(metadata);
    expect(eif.sections.map(({ type }) => type)).toEqual(["kernel", "cmdline", "metadata", "ramdisk", "ramdisk"]);
    expect([eif.architecture, readEif(buildEif({ ...content, architecture: "arm64" })).architecture]).toEqual([
      "x86_64",
      "arm64",
    ]);
  });

  test("has the bytes that the format names", () => {
    const view = viewOf(baseline());
    expect([view.getUint32(0), view.getUint16(4), view.getUint16(26)]).toEqual([0x2e656966, 4, 5]);
    expect([view.getBigUint64(28), view.getBigUint64(284)]).toEqual([548n, 6n]);
    expect([view.getUint16(548), view.getBigUint64(552)]).toEqual([1, 6n]);
    expect(crc32(utf8("123456789"))).toBe(0xcbf43926);
  });

  test("is the same bytes each time", () => {
    expect(baseline()).toEqual(baseline());
  });

  test("is read out of a larger buffer", () => {
    const file = baseline();
    const within = concat(new Uint8Array(5), file, new Uint8Array(5)).subarray(5, 5 + file.length);
    expect(readEif(within).kernel).toEqual(content.kernel);
  });
});

type Change = (view: DataView) => void;
const u16 =
  (at: number, value: number): Change =>
  (view) =>
    view.setUint16(at, value);
const u64 =
  (at: number, value: bigint): Change =>
  (view) =>
    view.setBigUint64(at, value);
const offsetOf = (index: number) => EIF_FIELD.offsets + 8 * index;
const sizeOf = (index: number) => EIF_FIELD.sizes + 8 * index;
const swap =
  (a: number, b: number): Change =>
  (view) => {
    const [first, second] = [view.getBigUint64(a), view.getBigUint64(b)];
    view.setBigUint64(a, second);
    view.setBigUint64(b, first);
  };
// The cmdline's section header follows the kernel's 6 bytes.
const CMDLINE_AT = EIF_HEADER_BYTES + 12 + 6;
const LAST_AT = baseline().length - 12 - 3;

describe("one change in the file, checksum made right", () => {
  test.each<[string, Change, string]>([
    ["E01 magic", (v) => v.setUint8(0, 0x2f), "ERR_EIF_HEADER magic"],
    ["E02 version 0", u16(EIF_FIELD.version, 0), "ERR_EIF_HEADER version"],
    ["E02 version 3", u16(EIF_FIELD.version, 3), "ERR_EIF_HEADER version"],
    ["E02 version 5", u16(EIF_FIELD.version, 5), "ERR_EIF_HEADER version"],
    ["E02 version 65535", u16(EIF_FIELD.version, 65_535), "ERR_EIF_HEADER version"],
    ["E02 flag bit 1", u16(EIF_FIELD.flags, 2), "ERR_EIF_HEADER flags"],
    ["E02 flag bit 15", u16(EIF_FIELD.flags, 0x8000), "ERR_EIF_HEADER flags"],
    ["E02 reserved", u16(EIF_FIELD.reserved, 1), "ERR_EIF_HEADER reserved"],
    ["E02 unused", u16(EIF_FIELD.unused, 1), "ERR_EIF_HEADER unused"],
    ["E03 no sections", u16(EIF_FIELD.sectionCount, 0), "ERR_EIF_HEADER num_sections"],
    ["E03 33 sections", u16(EIF_FIELD.sectionCount, 33), "ERR_EIF_HEADER num_sections"],
    ["E03 65535 sections", u16(EIF_FIELD.sectionCount, 65_535), "ERR_EIF_HEADER num_sections"],
    ["E03 a section fewer", u16(EIF_FIELD.sectionCount, 4), "ERR_EIF_HEADER section_offsets"],
    ["E03 a section more", u16(EIF_FIELD.sectionCount, 6), "ERR_EIF_SECTION 5"],
    ["E04 offset one less", u64(offsetOf(1), BigInt(CMDLINE_AT - 1)), "ERR_EIF_SECTION 1"],
    ["E04 offset one more", u64(offsetOf(1), BigInt(CMDLINE_AT + 1)), "ERR_EIF_SECTION 1"],
    ["E04 offset in the header", u64(offsetOf(0), 28n), "ERR_EIF_SECTION 0"],
    ["E04 offsets descend", swap(offsetOf(3), offsetOf(4)), "ERR_EIF_SECTION 3"],
    ["E04 two offsets equal", u64(offsetOf(1), BigInt(EIF_HEADER_BYTES)), "ERR_EIF_SECTION 1"],
    ["E04 offset of 2^63", u64(offsetOf(4), 1n << 63n), "ERR_EIF_SECTION 4"],
    ["E05 the table's size one more", u64(sizeOf(0), 7n), "ERR_EIF_SECTION 0"],
    ["E05 the section's size one less", u64(EIF_HEADER_BYTES + 4, 5n), "ERR_EIF_SECTION 0"],
    ["an offset where unused", u64(offsetOf(31), 1n), "ERR_EIF_HEADER section_offsets"],
    ["a size where unused", u64(sizeOf(5), 1n), "ERR_EIF_HEADER section_sizes"],
    ["section flags", u16(EIF_HEADER_BYTES + 2, 1), "ERR_EIF_SECTION 0"],
    ["E11 type 0", u16(LAST_AT, 0), "ERR_EIF_SECTION 4"],
    ["E11 type 6", u16(LAST_AT, 6), "ERR_EIF_SECTION 4"],
    ["E11 type 65535", u16(LAST_AT, 65_535), "ERR_EIF_SECTION 4"],
    ["default memory (free)", u64(EIF_FIELD.defaultMemory, 1n), "accepted"],
    ["default cpus (free)", u64(EIF_FIELD.defaultCpus, 64n), "accepted"],
  ])("%s → $2", async (_, change, expected) => {
    const file = baseline();
    change(viewOf(file));
    expect(await verdict(() => readEif(sealed(file)))).toBe(expected);
  });

  // Table and section agree on the lie, so that only the file's end contradicts it.
  test.each([1n << 63n, (1n << 53n) + 1n, (1n << 64n) - 1n, 1n << 32n, 4n])(
    "E08 the last section announces %d bytes of 3, no memory is taken",
    async (size) => {
      const file = baseline();
      viewOf(file).setBigUint64(sizeOf(4), size);
      viewOf(file).setBigUint64(file.length - 3 - 8, size);
      sealed(file);
      const before = process.memoryUsage().arrayBuffers;
      expect(await verdict(() => readEif(file))).toBe("ERR_EIF_SECTION 4");
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    },
  );

  test("E06 overlap: a section that ends inside the next", async () => {
    const file = baseline();
    viewOf(file).setBigUint64(sizeOf(0), 7n);
    viewOf(file).setBigUint64(EIF_HEADER_BYTES + 4, 7n);
    expect(await verdict(() => readEif(sealed(file)))).toBe("ERR_EIF_SECTION 1");
  });
});

describe("E01, E07 length", () => {
  const file = baseline();
  test.each<[string, Uint8Array, string]>([
    ["empty", new Uint8Array(), "ERR_EIF_HEADER length"],
    ["547 bytes", file.slice(0, 547), "ERR_EIF_HEADER length"],
    ["548 bytes", sealed(file.slice(0, 548)), "ERR_EIF_SECTION 0"],
    ["a byte short", sealed(file.slice(0, -1)), "ERR_EIF_SECTION 4"],
    ["ends in a section's header", sealed(file.slice(0, EIF_HEADER_BYTES + 11)), "ERR_EIF_SECTION 0"],
    ...[1, 11, 12, 1 << 20].map((extra): [string, Uint8Array, string] => [
      `${extra} bytes after the last section`,
      sealed(concat(file, new Uint8Array(extra))),
      "ERR_EIF_SECTION 5",
    ]),
    ["E07 a gap before the cmdline", withGap(), "ERR_EIF_SECTION 1"],
  ])("%s → $2", async (_, bytes, expected) => {
    expect(await verdict(() => readEif(bytes))).toBe(expected);
  });

  function withGap(): Uint8Array {
    const gap = concat(file.subarray(0, CMDLINE_AT), new Uint8Array(16), file.subarray(CMDLINE_AT));
    for (let i = 1; i < 5; i++) viewOf(gap).setBigUint64(offsetOf(i), viewOf(gap).getBigUint64(offsetOf(i)) + 16n);
    return sealed(gap);
  }
});

describe("E10 checksum", () => {
  test.each<[string, (file: Uint8Array) => number]>([
    ["one bit wrong", (file) => viewOf(file).getUint32(EIF_FIELD.crc) ^ 1],
    ["over the field too", (file) => crc32(file)],
    ["over the header only", (file) => crc32(file.subarray(0, EIF_FIELD.crc))],
  ])("%s", async (_, crc) => {
    const file = baseline();
    viewOf(file).setUint32(EIF_FIELD.crc, crc(file));
    expect(await verdict(() => readEif(file))).toBe("ERR_EIF_CRC");
  });
});

describe("E12, E13, E16, E17, E19 sections", () => {
  const many = (count: number) => [kernel, cmdline, ...Array<Part>(count).fill(ramdisk)];
  test.each<[string, readonly Part[], string]>([
    ["AWS's order, signed", [kernel, cmdline, meta, ramdisk, ramdisk, signature], "accepted"],
    ["metadata last", [kernel, cmdline, ramdisk, signature, meta], "accepted"],
    ["one ramdisk, nothing else", [kernel, cmdline, ramdisk], "accepted"],
    ["E12 no kernel", [cmdline, cmdline, ramdisk], "ERR_EIF_SECTION 0"],
    ["E12 two kernels", [kernel, kernel, ramdisk], "ERR_EIF_SECTION 1"],
    ["E12 a second kernel later", [kernel, cmdline, ramdisk, kernel], "ERR_EIF_SECTION 3"],
    ["E12 kernel not first", [cmdline, kernel, ramdisk], "ERR_EIF_SECTION 0"],
    ["E12 no cmdline", [kernel, ramdisk, ramdisk], "ERR_EIF_SECTION 1"],
    ["E12 two cmdlines", [kernel, cmdline, cmdline, ramdisk], "ERR_EIF_SECTION 2"],
    ["E12 no ramdisk", [kernel, cmdline, meta], "ERR_EIF_SECTION 3"],
    ["E12 16 ramdisks", many(16), "accepted"],
    ["E12 17 ramdisks", many(17), "ERR_EIF_SECTION 19"],
    ["E12 30 ramdisks", many(30), "ERR_EIF_SECTION 32"],
    ["E13 ramdisk before cmdline", [kernel, ramdisk, cmdline], "ERR_EIF_SECTION 1"],
    ["signature before a ramdisk", [kernel, cmdline, signature, ramdisk], "ERR_EIF_SECTION 3"],
    ["metadata between ramdisks", [kernel, cmdline, ramdisk, meta, ramdisk], "ERR_EIF_SECTION 4"],
    ["signature after metadata", [kernel, cmdline, ramdisk, meta, signature], "ERR_EIF_SECTION 4"],
    ["E17 metadata twice", [kernel, cmdline, meta, ramdisk, meta], "ERR_EIF_SECTION 4"],
    ["E17 metadata before the kernel", [meta, kernel, cmdline, ramdisk], "ERR_EIF_SECTION 0"],
    ["E19 signature twice", [kernel, cmdline, ramdisk, signature, signature], "ERR_EIF_SECTION 4"],
    ["E16 empty kernel", [[KERNEL, new Uint8Array()], cmdline, ramdisk], "ERR_EIF_SECTION 0"],
    ["E16 empty cmdline", [kernel, [CMDLINE, new Uint8Array()], ramdisk], "ERR_EIF_SECTION 1"],
    ["E16 empty ramdisk", [kernel, cmdline, [RAMDISK, new Uint8Array()]], "ERR_EIF_SECTION 2"],
    ["E16 empty metadata", [kernel, cmdline, [METADATA, new Uint8Array()], ramdisk], "ERR_EIF_SECTION 2"],
    ["E16 empty signature", [kernel, cmdline, ramdisk, [SIGNATURE, new Uint8Array()]], "ERR_EIF_SECTION 3"],
  ])("%s → $2", async (_, parts, expected) => {
    expect(await verdict(() => readEif(craft(parts)))).toBe(expected);
  });
});
