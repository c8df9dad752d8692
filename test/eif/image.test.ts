import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildAppImage, measureEifFile, readCpio, readEif, readEifFile, readMetadata } from "../../image/index.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { readOpenFile } from "../../shared/eif/open-file.ts";
import { verdict } from "./craft.ts";

const files = new Map([
  ["main.mjs", utf8("import './lib/x.mjs'")],
  ["lib/x.mjs", utf8("1")],
]);
const build = (change = files) => buildAppImage({ files: change, platform: "mock" });

describe("buildAppImage", () => {
  test("the same files give the same bytes, in whatever order", async () => {
    expect((await build()).eif).toEqual((await build(new Map([...files].reverse()))).eif);
  });

  test("the files are in the last ramdisk under app/, placeholders in the rest", async () => {
    const eif = readEif((await build()).eif);
    expect(readCpio(eif.ramdisks[1] ?? new Uint8Array()).map(({ path }) => path)).toEqual([
      "app",
      "app/lib",
      "app/lib/x.mjs",
      "app/main.mjs",
    ]);
    expect(new TextDecoder().decode(eif.kernel)).toContain("placeholder");
    expect(readMetadata(eif.metadata ?? new Uint8Array()).BuildMetadata.BuildTime).toBe("1970-01-01T00:00:00Z");
  });

  test("one byte of the application changes PCR0 and PCR2, not PCR1", async () => {
    const before = (await build()).measurements;
    const after = (await build(new Map([...files, ["lib/x.mjs", utf8("2")]]))).measurements;
    expect(toHex(after.pcr0)).not.toBe(toHex(before.pcr0));
    expect(toHex(after.pcr1)).toBe(toHex(before.pcr1));
    expect(toHex(after.pcr2)).not.toBe(toHex(before.pcr2));
  });

  test("a file's name is measured", async () => {
    const renamed = new Map(
      [...files, ["lib/y.mjs", utf8("1")]].filter(([path]) => path !== "lib/x.mjs") as [string, Uint8Array][],
    );
    expect(toHex((await build(renamed)).measurements.pcr2)).not.toBe(toHex((await build()).measurements.pcr2));
  });

  test("name and version are not measured", async () => {
    const named = await buildAppImage({ files, platform: "mock", name: "other", version: "9" });
    expect(named.measurements).toEqual((await build()).measurements);
    expect(named.eif).not.toEqual((await build()).eif);
  });

  test.each<[string, object, string]>([
    ["no main.mjs", { files: new Map([["index.mjs", utf8("")]]) }, "RangeError"],
    ["a path upwards", { files: new Map([...files, ["../x", utf8("")]]) }, "RangeError"],
    ["another platform", { platform: "nitro" }, "TypeError"],
  ])("refuses %s", async (_, change, expected) => {
    const options = { files, platform: "mock", ...change } as Parameters<typeof buildAppImage>[0];
    expect(await verdict(() => buildAppImage(options))).toBe(expected);
  });
});

describe("image files", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "eif-"));
    path = join(folder, "app.eif");
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("are read and measured", async () => {
    const { eif, measurements } = await build();
    await writeFile(path, eif);
    expect(await measureEifFile(path)).toEqual(measurements);
    expect((await readEifFile(path)).ramdisks).toHaveLength(2);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["nothing", async () => {}],
    ["a directory", () => mkdir(path)],
    ["a pipe", async () => execFileSync("mkfifo", [path])],
    ["a device", () => symlink("/dev/zero", path)],
    [
      "a link to an image",
      async () => {
        await writeFile(join(folder, "real.eif"), (await build()).eif);
        await symlink("real.eif", path);
      },
    ],
  ])("E30 %s is refused", async (_, prepare) => {
    await prepare();
    expect(await verdict(() => readEifFile(path))).toBe("ERR_EIF_FILE");
  });

  test("E30 a device itself is refused", async () => {
    expect(await verdict(() => readEifFile("/dev/zero"))).toBe("ERR_EIF_FILE");
  });

  test("E09 a sparse file of 8 GiB is refused without memory", async () => {
    await writeFile(path, "");
    await truncate(path, 8 * 2 ** 30);
    const before = process.memoryUsage().rss;
    expect(await verdict(() => readEifFile(path))).toBe("ERR_EIF_FILE");
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  test("a limit of its own size passes, one less does not", async () => {
    const { eif } = await build();
    await writeFile(path, eif);
    expect(await verdict(() => readEifFile(path, { maxBytes: eif.length }))).toBe("accepted");
    expect(await verdict(() => readEifFile(path, { maxBytes: eif.length - 1 }))).toBe("ERR_EIF_FILE");
  });

  test.each([-1, 1])("E29 a file that changed its size by %d is refused", async (change) => {
    await writeFile(path, "12345678");
    await using file = await open(path);
    const changing = {
      stat: async () => ({ isFile: () => true, size: 8 + change }),
      read: (buffer: Uint8Array, at: number, length: number, position: number) =>
        file.read(buffer, at, length, position),
    };
    expect(await verdict(() => readOpenFile(changing, path))).toBe("ERR_EIF_FILE");
    const special = { ...changing, stat: async () => ({ isFile: () => false, size: 8 }) };
    expect(await verdict(() => readOpenFile(special, path))).toBe("ERR_EIF_FILE");
    expect(await verdict(() => readOpenFile(file, path))).toBe("accepted");
  });
});
