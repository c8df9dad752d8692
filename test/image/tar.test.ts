import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTar } from "../../image/tar.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { isEifError } from "../../shared/errors/eif.ts";
import { verdict } from "../eif/craft.ts";
import { END, pax, type RawTar, tar, tarEntry } from "./craft-tar.ts";

const read = (bytes: Uint8Array) => [...readTar(bytes)];
const paths = (...entries: readonly RawTar[]) => read(tar(...entries)).map(({ path }) => path);
const LONG = `${"d".repeat(90)}/${"e".repeat(90)}/f`;

describe("readTar", () => {
  test("gives names, modes, owners, targets and views of the content", () => {
    const bytes = tar(
      { name: "./a/", type: "5", mode: "0000755" },
      { name: "a/f", data: "hello", mode: "0004755", uid: "0001750" },
      { name: "a/l", type: "2", link: "../../etc" },
      { name: "a/h", type: "1", link: "./a/f" },
      { name: "a/d", type: "3" },
    );
    const none = new Uint8Array();
    const entry = { target: "", mode: 0o644, uid: 0, gid: 0, data: none };
    expect(read(bytes)).toEqual([
      { ...entry, kind: "directory", path: "a", mode: 0o755 },
      { ...entry, kind: "file", path: "a/f", mode: 0o4755, uid: 1000, data: utf8("hello") },
      { ...entry, kind: "link", path: "a/l", target: "../../etc" },
      { ...entry, kind: "hard link", path: "a/h", target: "a/f" },
      { ...entry, kind: "device", path: "a/d" },
    ]);
    expect(read(bytes)[1]?.data.buffer).toBe(bytes.buffer);
  });

  test("long names: a prefix, GNU's, pax's", () => {
    expect(paths({ name: "f", prefix: "a/b" })).toEqual(["a/b/f"]);
    expect(paths({ name: "././@LongLink", type: "L", data: `${LONG}\0`, magic: "ustar  \0" }, { name: "x" })).toEqual([
      LONG,
    ]);
    expect(paths({ name: "PaxHeaders/x", type: "x", data: pax({ path: LONG, mtime: "1.5" }) }, { name: "x" })).toEqual([
      LONG,
    ]);
    const link = read(
      tar({ name: "p", type: "x", data: pax({ linkpath: LONG, uid: "70000" }) }, { name: "x", type: "2" }),
    );
    expect(link[0]).toMatchObject({ target: LONG, uid: 70000 });
  });

  test("the root itself is passed over, a global header changes nothing", () => {
    expect(
      paths({ name: "./", type: "5" }, { name: "g", type: "g", data: pax({ comment: "x" }) }, { name: "a" }),
    ).toEqual(["a"]);
  });

  test.each(["ustar", "gnu", "pax"])("reads what GNU tar writes as %s", (format) => {
    const folder = mkdtempSync(join(tmpdir(), "tar-"));
    try {
      mkdirSync(join(folder, "s/d".padEnd(90, "d")), { recursive: true });
      writeFileSync(join(folder, "s/d".padEnd(90, "d"), "f".repeat(60)), "content");
      symlinkSync("/nowhere", join(folder, "s/link"));
      execFileSync("tar", [`--format=${format}`, "-cf", join(folder, "t"), "-C", join(folder, "s"), "."]);
      const entries = read(new Uint8Array(readFileSync(join(folder, "t"))));
      expect(entries.find(({ kind }) => kind === "file")).toMatchObject({ data: utf8("content") });
      expect(entries.find(({ kind }) => kind === "link")).toMatchObject({ path: "link", target: "/nowhere" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  const one = (raw: Partial<RawTar>) => tar({ name: "a", ...raw });
  const leading = (raw: Partial<RawTar>) => tar({ name: "x", ...raw }, { name: "a" });
  test.each<[string, Uint8Array]>([
    ["an absolute path", one({ name: "/etc/passwd" })],
    ["a path upwards", one({ name: "a/../../x" })],
    ["..", one({ name: ".." })],
    ["an empty segment", one({ name: "a//b" })],
    ["a dot inside", one({ name: "a/./b" })],
    ["a slash after a file's name", one({ name: "a/" })],
    ["an empty name", one({ name: "" })],
    ["a path of 1025 characters", leading({ type: "x", data: pax({ path: "y".repeat(1025) }) })],
    ["a pax path upwards", leading({ type: "x", data: pax({ path: "../x" }) })],
    ["a long name upwards", leading({ type: "L", data: "../x\0" })],
    ["a NUL in a pax path", leading({ type: "x", data: pax({ path: "a\0b" }) })],
    ["a hard link out of the archive", one({ type: "1", link: "/etc/passwd" })],
    ["a hard link upwards", one({ type: "1", link: "a/../../x" })],
    ["a hard link to nothing", one({ type: "1" })],
    ["a link without a target", one({ type: "2" })],
    ["content in a folder", one({ type: "5", data: "x" })],
    ["content in a link", one({ type: "2", link: "b", data: "x" })],
    ["a type that is not known", one({ type: "S" })],
    ["no magic", one({ magic: "\0\0\0\0\0\0\0\0" })],
    ["a wrong checksum", one({ checksum: "000000\0 " })],
    ["a number that is none", one({ uid: "9999999" })],
    ["a negative number", one({ uid: "-000001" })],
    ["a size beyond the archive", one({ size: "00000002000" })],
    ["a size of 2^63", one({ size: "\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00" })],
    ["a name that is not UTF-8", leading({ type: "x", data: Buffer.from("11 path=\xff\xff\n", "latin1") })],
    ["pax: a sparse file", leading({ type: "x", data: pax({ "GNU.sparse.major": "1" }) })],
    ["pax: another character set", leading({ type: "x", data: pax({ hdrcharset: "BINARY" }) })],
    ["pax: a length that lies", leading({ type: "x", data: "99 path=x\n" })],
    ["pax: a length of 0", leading({ type: "x", data: "0 path=x\n" })],
    ["pax: bytes after the last record", leading({ type: "x", data: `${pax({ path: "a" })}x` })],
    ["pax: no line feed", leading({ type: "x", data: "10 path=ab " })],
    ["pax: a size that is no number", leading({ type: "x", data: pax({ size: "1e3" }) })],
    ["pax: a path twice", leading({ type: "x", data: pax({ path: "a" }) + pax({ path: "b" }) })],
    ["pax: a path for all entries", leading({ type: "g", data: pax({ path: "b" }) })],
    [
      "a path twice, GNU and pax",
      tar({ name: "x", type: "L", data: "b\0" }, { name: "x", type: "x", data: pax({ path: "c" }) }, { name: "a" }),
    ],
    ["a long name without an end", leading({ type: "L", data: "abc" })],
    [
      "an extension after a pax header, whose size is not that extension's",
      tar(
        { name: "p", type: "x", data: pax({ size: "0" }) },
        { name: "K", type: "K", data: tarEntry({ name: "hidden" }) },
        { name: "a" },
      ),
    ],
    [
      "two pax headers before an entry",
      tar(
        { name: "p", type: "x", data: pax({ path: "b" }) },
        { name: "p", type: "x", data: pax({ uid: "7" }) },
        { name: "a" },
      ),
    ],
    [
      "a global header after a pax header",
      tar({ name: "p", type: "x", data: pax({ path: "b" }) }, { name: "g", type: "g" }, { name: "a" }),
    ],
    ["a pax header without its entry", tar({ name: "p", type: "x", data: pax({ mtime: "1" }) })],
    ["an extension above 64 KiB", leading({ type: "L", data: `${"y".repeat(65_536)}\0` })],
    ["an extension without its entry", tar({ name: "x", type: "L", data: "b\0" })],
    ["no end", tarEntry({ name: "a" })],
    ["one block of zeros", concat(tarEntry({ name: "a" }), new Uint8Array(512))],
    ["a byte after the end", concat(tar({ name: "a" }), new Uint8Array(511), Uint8Array.of(1))],
    ["a second archive after the end", concat(tar({ name: "a" }), tar({ name: "b" }))],
    ["half a block", tar({ name: "a" }).subarray(0, 700)],
    ["nothing", new Uint8Array()],
  ])("refuses %s", async (_, bytes) => {
    expect(await verdict(() => read(bytes))).toMatch(/^ERR_EIF_SOURCE/);
  });

  test("counts entries: one more than the limit is refused", async () => {
    const bytes = tar({ name: "a" }, { name: "b" });
    expect(await verdict(() => [...readTar(bytes, { maxEntries: 2 })])).toBe("accepted");
    expect(await verdict(() => [...readTar(bytes, { maxEntries: 1 })])).toMatch(/^ERR_EIF_SOURCE/);
  });

  test("throws nothing but its own error", () => {
    const base = tar(
      { name: "p", type: "x", data: pax({ path: LONG, uid: "7" }) },
      { name: "a", data: "hello" },
      { name: "l", type: "2", link: "a" },
    );
    const property = fc.property(
      fc.nat(base.length - END.length - 1),
      fc.integer({ min: 0, max: 255 }),
      (at, value) => {
        const changed = base.slice();
        changed[at] = value;
        try {
          read(changed);
        } catch (error) {
          if (!isEifError(error)) throw error;
        }
      },
    );
    fc.assert(property, { numRuns: process.env["SLOW"] ? 20_000 : 1_000 });
  });
});
