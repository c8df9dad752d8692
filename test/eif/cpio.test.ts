import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, utf8 } from "../../shared/bytes.ts";
import { readCpio } from "../../shared/eif/cpio.ts";
import { writeCpio } from "../../shared/eif/cpio-write.ts";
import { isEifError } from "../../shared/errors/eif.ts";
import { verdict } from "./craft.ts";

const FILE = 0o100644;
const FOLDER = 0o040755;

interface Raw {
  readonly name: string;
  readonly mode?: number;
  readonly data?: string;
  readonly links?: number;
  readonly magic?: string;
  readonly check?: number;
  readonly size?: number;
  readonly nameSize?: number;
  readonly padding?: number;
}

/** One entry, each field as asked. */
function entry({
  name,
  mode = FILE,
  data = "",
  links = 1,
  magic = "070701",
  check = 0,
  padding = 0,
  ...sizes
}: Raw): Uint8Array {
  const { size = data.length, nameSize = name.length + 1 } = sizes;
  const fields = [1, mode, 0, 0, links, 0, size, 0, 0, 0, 0, nameSize, check];
  const header = utf8(magic + fields.map((value) => value.toString(16).padStart(8, "0")).join(""));
  const pad = (length: number) => new Uint8Array((4 - (length % 4)) % 4).fill(padding);
  const named = utf8(`${name}\0`);
  return concat(header, named, pad(110 + named.length), utf8(data), pad(data.length));
}

const trailer = entry({ name: "TRAILER!!!", mode: 0 });
const archive = (...raws: readonly Raw[]) => concat(...raws.map(entry), trailer);
const app: Raw = { name: "app", mode: FOLDER, links: 2 };
const main: Raw = { name: "app/main.mjs", data: "main()" };

describe("writeCpio", () => {
  const files = new Map([
    ["b/c/d.txt", utf8("d")],
    ["a.txt", utf8("12345")],
    ["b/e", new Uint8Array()],
  ]);

  test("reads back: sorted, directories first", () => {
    expect(readCpio(writeCpio(files))).toEqual([
      { kind: "file", path: "a.txt", data: utf8("12345") },
      { kind: "directory", path: "b" },
      { kind: "directory", path: "b/c" },
      { kind: "file", path: "b/c/d.txt", data: utf8("d") },
      { kind: "file", path: "b/e", data: new Uint8Array() },
    ]);
  });

  test("does not depend on the order of the files", () => {
    expect(writeCpio(new Map([...files].reverse()))).toEqual(writeCpio(files));
  });

  test("has the bytes that the format names", () => {
    const header = (inode: string, mode: string, links: string, size: string, name: string) =>
      `070701${inode}${mode}${"0".repeat(16)}${links}${"0".repeat(8)}${size}${"0".repeat(32)}${name}${"0".repeat(8)}`;
    const wanted = concat(
      utf8(`${header("00000001", "000081a4", "00000001", "00000002", "00000002")}a\0`),
      utf8("hi\0\0"),
      utf8(`${header("00000000", "00000000", "00000001", "00000000", "0000000b")}TRAILER!!!\0\0\0\0`),
    );
    expect(writeCpio(new Map([["a", utf8("hi")]]))).toEqual(wanted);
  });

  test.each(["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\0b", "TRAILER!!!", "x".repeat(1025)])(
    "refuses the path %j",
    async (path) => {
      expect(await verdict(() => writeCpio(new Map([[path, utf8("")]])))).toBe("RangeError");
    },
  );

  test("refuses a path that is a file and a directory", async () => {
    expect(
      await verdict(() =>
        writeCpio(
          new Map([
            ["a", utf8("")],
            ["a/b", utf8("")],
          ]),
        ),
      ),
    ).toBe("RangeError");
  });

  test("reading inverts writing", () => {
    const segment = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
    const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `f/${segments.join("/")}.x`);
    const some = fc.dictionary(path, fc.uint8Array({ maxLength: 40 }));
    fc.assert(
      fc.property(some, (record) => {
        const written = readCpio(writeCpio(new Map(Object.entries(record))));
        const read = written.flatMap((e) => (e.kind === "file" ? [[e.path, e.data] as const] : []));
        expect(Object.fromEntries(read)).toEqual({ ...record });
      }),
    );
  });
});

describe("readCpio", () => {
  const name = "x".repeat(204);
  /** The last one has 1024 bytes. */
  const LONG = [1, 2, 3, 4, 5].map((depth) => Array(depth).fill(name).join("/"));
  const baseline = archive(app, main);
  test.each<[string, Uint8Array, string]>([
    ["the baseline", baseline, "accepted"],
    ["zeros after the trailer", concat(baseline, new Uint8Array(512)), "accepted"],
    ["a byte after the trailer", concat(baseline, Uint8Array.of(0, 0, 0, 1)), "ERR_EIF_ARCHIVE TRAILER!!!"],
    ["a second archive after the trailer", concat(baseline, baseline), "ERR_EIF_ARCHIVE TRAILER!!!"],
    [
      "a trailer with content",
      concat(entry(app), entry({ name: "TRAILER!!!", data: "x" })),
      "ERR_EIF_ARCHIVE TRAILER!!!",
    ],
    ["no trailer", entry(app), "ERR_EIF_ARCHIVE #1"],
    ["empty", new Uint8Array(), "ERR_EIF_ARCHIVE #0"],
    ["a byte short", baseline.subarray(0, -1), "ERR_EIF_ARCHIVE #2"],
    ["another magic", archive({ ...app, magic: "070702" }), "ERR_EIF_ARCHIVE #0"],
    ["a sign in a number", signed(), "ERR_EIF_ARCHIVE #0"],
    ["a checksum", archive({ ...app, check: 1 }), "ERR_EIF_ARCHIVE #0"],
    ["an absolute path", archive({ name: "/etc" }), "ERR_EIF_ARCHIVE #0"],
    ["a path upwards", archive(app, { name: "app/../x" }), "ERR_EIF_ARCHIVE #1"],
    ["..", archive({ name: "..", mode: FOLDER }), "ERR_EIF_ARCHIVE #0"],
    [".", archive({ name: ".", mode: FOLDER }), "ERR_EIF_ARCHIVE #0"],
    ["a slash at the end", archive({ name: "app/", mode: FOLDER }), "ERR_EIF_ARCHIVE #0"],
    ["two slashes", archive(app, { name: "app//x" }), "ERR_EIF_ARCHIVE #1"],
    ["an empty path", archive({ name: "" }), "ERR_EIF_ARCHIVE #0"],
    ["a NUL in a path", archive({ name: "a\0b" }), "ERR_EIF_ARCHIVE #0"],
    ["no NUL after a path", archive({ name: "abc", nameSize: 3 }), "ERR_EIF_ARCHIVE #0"],
    ["a path of 1024 bytes", archive(...LONG.map((name) => ({ name, mode: FOLDER }))), "accepted"],
    ["a name of 256 bytes", archive({ name: "x".repeat(256) }), "ERR_EIF_ARCHIVE #0"],
    ["a name that would write to the terminal", archive({ name: "\u001b[2J", links: 2 }), "ERR_EIF_ARCHIVE \\u001b[2J"],
    ["a path of 1025 bytes", archive({ name: "x".repeat(1025) }), "ERR_EIF_ARCHIVE #0"],
    ["a path of 4 GiB", archive({ name: "x", nameSize: 0xffff_ffff }), "ERR_EIF_ARCHIVE #0"],
    ["a name twice", archive(app, main, main), "ERR_EIF_ARCHIVE app/main.mjs"],
    ["a file and a directory of one name", archive(app, { name: "app" }), "ERR_EIF_ARCHIVE app"],
    ["a file without its directory", archive(main), "ERR_EIF_ARCHIVE app/main.mjs"],
    ["a file in a file", archive({ name: "app" }, main), "ERR_EIF_ARCHIVE app/main.mjs"],
    ["a symbolic link", archive({ name: "l", mode: 0o120777, data: "/etc" }), "ERR_EIF_ARCHIVE l"],
    ["a character device", archive({ name: "d", mode: 0o020600 }), "ERR_EIF_ARCHIVE d"],
    ["a pipe", archive({ name: "p", mode: 0o010600 }), "ERR_EIF_ARCHIVE p"],
    ["a socket", archive({ name: "s", mode: 0o140600 }), "ERR_EIF_ARCHIVE s"],
    ["setuid", archive({ name: "s", mode: 0o104755 }), "ERR_EIF_ARCHIVE s"],
    ["a hard link", archive({ name: "h", links: 2 }), "ERR_EIF_ARCHIVE h"],
    ["a directory with content", archive({ ...app, data: "x" }), "ERR_EIF_ARCHIVE app"],
    ["content of 4 GiB", archive({ name: "x", size: 0xffff_ffff }), "ERR_EIF_ARCHIVE #0"],
    ["padding that is not zero", archive({ name: "ab", data: "x", padding: 1 }), "ERR_EIF_ARCHIVE #0"],
  ])("%s → $2", async (_, bytes, expected) => {
    expect(await verdict(() => readCpio(bytes))).toBe(expected);
  });

  function signed(): Uint8Array {
    const bytes = archive(app);
    bytes.set(utf8("+0000001"), 6);
    return bytes;
  }

  test("a path that is not UTF-8", async () => {
    const bytes = archive({ name: "abc" });
    bytes[110] = 0xff;
    expect(await verdict(() => readCpio(bytes))).toBe("ERR_EIF_ARCHIVE #0");
  });

  test("throws nothing but its own error", () => {
    const property = fc.property(fc.nat(baseline.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const changed = baseline.slice();
      changed[at] = value;
      try {
        readCpio(changed);
      } catch (error) {
        if (!isEifError(error)) throw error;
      }
    });
    fc.assert(property, { numRuns: process.env["SLOW"] ? 20_000 : 2_000 });
  });
});
