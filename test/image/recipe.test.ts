import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  buildFromRecipe,
  checkManifest,
  Inputs,
  makeManifest,
  parseLock,
  parseManifest,
  type Recipe,
  readFolder,
  updateLock,
  writeLock,
  writeManifest,
  writeSbom,
} from "../../image/building.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { verdict } from "../eif/craft.ts";
import { fakeElf, fakeKernel } from "./craft-boot.ts";

const CMDLINE = "console=ttyS0 cloister.platform=emulated";
const exec = { program: "/bin/app", arguments: ["app"], directory: "/", uid: 0, gid: 0, environment: [] };

describe("from files", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "build-"));
    mkdirSync(join(home, "root/bin"), { recursive: true });
    writeFileSync(join(home, "root/bin/app"), "#!", { mode: 0o755 });
    symlinkSync("/../../etc", join(home, "root/up"));
    writeFileSync(join(home, "exec.json"), JSON.stringify(exec));
    writeFileSync(join(home, "bzImage"), fakeKernel());
    writeFileSync(join(home, "nsm.ko"), "nsm");
    writeFileSync(join(home, "init"), fakeElf({}));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  const recipe: Recipe = {
    platform: "emulated",
    architecture: "x86_64",
    name: "app",
    version: "1",
    boot: { kind: "kernel", kernel: "bzImage", cmdline: CMDLINE, modules: ["nsm.ko"] },
    init: { kind: "file", path: "init" },
    source: { kind: "rootfs", folder: "root", exec: "exec.json" },
  };
  const build = async (base = home, pins: ConstructorParameters<typeof Inputs>[0] = "unlocked") => {
    const inputs = new Inputs(pins);
    const image = await buildFromRecipe(recipe, { base, inputs });
    return { image, inputs, manifest: makeManifest(recipe, { image, inputs }), bytes: concat(...image.parts) };
  };

  /** Digests of image, bill of materials and manifest, and what shows locale and zone, from a process of its own. */
  const elsewhere = (base: string, env: Readonly<Record<string, string>>) => {
    const entry = `
      import { createHash } from "node:crypto";
      import { buildFromRecipe, Inputs, makeManifest, writeManifest, writeSbom } from "./image/building.ts";
      const [recipe, base] = process.argv.slice(2).map((text) => JSON.parse(text));
      const inputs = new Inputs("unlocked");
      const image = await buildFromRecipe(recipe, { base, inputs });
      const manifest = makeManifest(recipe, { image, inputs });
      const hash = (parts) => parts.reduce((sum, part) => sum.update(part), createHash("sha256")).digest("hex");
      const built = [image.parts, [writeSbom(manifest, image)], [writeManifest(manifest)]].map(hash);
      const order = ["z", "ä"].sort(new Intl.Collator().compare).join("");
      console.log(JSON.stringify({ built, order, hour: new Date(0).getHours() }));`;
    const resolveDir = fileURLToPath(new URL("../..", import.meta.url));
    const outfile = join(home, "child.mjs");
    buildSync({
      stdin: { contents: entry, resolveDir },
      outfile,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "esm",
    });
    const args = [outfile, JSON.stringify(recipe), JSON.stringify(base)];
    const said = execFileSync(process.execPath, args, { encoding: "utf8", env, cwd: base });
    return JSON.parse(said) as { built: string[]; order: string; hour: number };
  };

  test("E34: two folders, other times, umask, order of creation, locale and time zone: the same bytes", async () => {
    const names = ["B", "a/b", "a-b", "a.b", "ä", "z"];
    const other = mkdtempSync(join(tmpdir(), "elsewhere-"));
    const put = (base: string, name: string) => {
      mkdirSync(dirname(join(base, "root", name)), { recursive: true });
      writeFileSync(join(base, "root", name), name);
    };
    const umask = process.umask();
    try {
      cpSync(home, other, { recursive: true, verbatimSymlinks: true });
      for (const name of names) put(home, name);
      process.umask(0o077);
      for (const name of names.reverse()) put(other, name);
      for (const name of ["root/bin/app", "bzImage"]) utimesSync(join(other, name), 1, 1);
      chmodSync(join(other, "root/bin/app"), 0o700);
      const one = elsewhere(home, { LC_ALL: "en_US.UTF-8", TZ: "UTC" });
      const two = elsewhere(other, { LC_ALL: "sv_SE.UTF-8", TZ: "Asia/Kathmandu" });
      // The two processes do differ in what they are given.
      expect([one.order, one.hour, two.order, two.hour]).toEqual(["äz", 0, "zä", 5]);
      expect(two.built).toEqual(one.built);
    } finally {
      process.umask(umask);
      rmSync(other, { recursive: true });
    }
  });

  test("a folder: executables 0755, the rest 0644, links as they are and never followed", async () => {
    const tree = await readFolder(join(home, "root"), { links: "kept" });
    expect(tree.get("bin/app")).toMatchObject({ mode: 0o755 });
    expect(tree.get("up")).toEqual({ kind: "link", target: "/../../etc" });
    expect(await verdict(() => readFolder(join(home, "root"), { links: "refused" }))).toBe("ERR_EIF_SOURCE up");
    execFileSync("mkfifo", [join(home, "root/pipe")]);
    expect(await verdict(() => readFolder(join(home, "root"), { links: "kept" }))).toBe("ERR_EIF_SOURCE pipe");
  });

  test("a lock: what it pins is built, what drifts is named", async () => {
    const pins = (await build()).inputs.used("pinned");
    expect(Object.keys(pins)).toEqual(["init", "kernel", "module nsm.ko"]);
    const lock = parseLock(utf8(writeLock(updateLock({}, "emulated/x86_64", pins))), "lock");
    expect(lock["emulated/x86_64"]).toEqual(pins);
    await build(home, pins);
    writeFileSync(join(home, "nsm.ko"), "other");
    const drift = build(home, pins);
    await expect(drift).rejects.toMatchObject({
      code: "ERR_EIF_INPUT_DRIFT",
      details: { input: "module nsm.ko", expected: pins["module nsm.ko"]?.sha256 },
    });
    await expect(build(home, {})).rejects.toMatchObject({
      code: "ERR_EIF_INPUT_DRIFT",
      details: { input: "kernel", expected: "absent" },
    });
  });

  test.each<[string, Uint8Array]>([
    ["is no executable", utf8("#!/bin/sh")],
    ["is for another machine", fakeElf({ machine: 183 })],
    ["is not static", fakeElf({ loader: "/lib64/ld.so" })],
  ])("an init that %s is refused", async (_, bytes) => {
    writeFileSync(join(home, "init"), bytes);
    expect(await verdict(build)).toBe("ERR_EIF_INPUT");
  });

  test("a lock keeps what a person wrote of a version", () => {
    const pin = { size: 1, sha256: "a".repeat(64) };
    const lock = updateLock({ x: { node: { ...pin, version: "20.1" } } }, "x", { node: { ...pin, size: 2 } });
    expect(lock).toEqual({ x: { node: { ...pin, version: "20.1", size: 2 } } });
  });

  test.each<[string, string]>([
    ["no JSON", "x"],
    ["another version", '{"version":2,"images":{}}'],
    ["another field", '{"version":1,"images":{},"x":1}'],
    ["a short digest", '{"version":1,"images":{"a":{"b":{"size":1,"sha256":"00"}}}}'],
    ["a size that is none", `{"version":1,"images":{"a":{"b":{"size":-1,"sha256":"${"0".repeat(64)}"}}}}`],
  ])("refuses a lock: %s", async (_, text) => {
    expect(await verdict(() => parseLock(utf8(text), "lock"))).toBe("ERR_EIF_INPUT");
  });

  test("a manifest is confirmed by building again, and only so", async () => {
    const { manifest } = await build();
    const read = parseManifest(utf8(writeManifest(manifest)), "manifest");
    expect(read).toEqual(manifest);
    expect(await checkManifest(read, { base: home })).toEqual(manifest);
    const pcr = { ...manifest, measurements: { ...manifest.measurements, PCR1: "0".repeat(96) } };
    await expect(checkManifest(pcr, { base: home })).rejects.toMatchObject({
      code: "ERR_EIF_MEASUREMENT",
      details: { index: 1 },
    });
    const image = { ...manifest, image: { ...manifest.image, sha256: "0".repeat(64) } };
    expect(await verdict(() => checkManifest(image, { base: home }))).toBe("ERR_EIF_REBUILD the manifest's SHA-256");
    const more = { ...manifest, inputs: { ...manifest.inputs, extra: manifest.image } };
    await expect(checkManifest(more, { base: home })).rejects.toMatchObject({
      code: "ERR_EIF_INPUT_DRIFT",
      details: { input: "extra" },
    });
    writeFileSync(join(home, "root/bin/app"), "changed");
    await expect(checkManifest(read, { base: home })).rejects.toMatchObject({
      code: "ERR_EIF_INPUT_DRIFT",
      details: { input: "rootfs" },
    });
  });

  test("a manifest that names a program of its own as the compiler is refused, and the program is not run", async () => {
    const marker = join(home, "marker");
    writeFileSync(join(home, "evil"), `#!/bin/sh\n: > '${marker}'\n`, { mode: 0o755 });
    const { manifest } = await build();
    for (const compiler of [join(home, "evil"), "./evil", "../evil", "-evil", ""]) {
      const init = { kind: "compiled", compiler } as const;
      const text = writeManifest({ ...manifest, recipe: { ...recipe, init } });
      const check = async () => checkManifest(parseManifest(utf8(text), "manifest"), { base: home });
      expect(await verdict(check)).toBe("ERR_EIF_INPUT");
      expect(existsSync(marker)).toBe(false);
    }
    const named = writeManifest({ ...manifest, recipe: { ...recipe, init: { kind: "compiled", compiler: "g++-12" } } });
    expect(parseManifest(utf8(named), "manifest").recipe.init).toEqual({ kind: "compiled", compiler: "g++-12" });
  });

  test("a command line of the blobs that is not UTF-8, or empty, is refused", async () => {
    mkdirSync(join(home, "blobs"));
    for (const name of ["bzImage", "nsm.ko"]) cpSync(join(home, name), join(home, "blobs", name));
    const nitro: Recipe = { ...recipe, platform: "nitro", boot: { kind: "blobs", folder: "blobs" } };
    const given = (bytes: Uint8Array) => {
      writeFileSync(join(home, "blobs/cmdline"), bytes);
      return verdict(() => buildFromRecipe(nitro, { base: home, inputs: new Inputs("unlocked") }));
    };
    expect(await given(utf8("reboot=k\n"))).toBe("accepted");
    expect(await given(Uint8Array.of(0x61, 0xff))).toBe("ERR_EIF_INPUT");
    expect(await given(utf8("\n"))).toBe("ERR_EIF_INPUT");
  });

  test("a folder's name that would write to the terminal is named as JSON", async () => {
    execFileSync("mkfifo", [join(home, "root/\u001b[2J")]);
    const refused = await verdict(() => readFolder(join(home, "root"), { links: "kept" }));
    expect(refused).toBe("ERR_EIF_SOURCE \\u001b[2J");
  });

  test("a manifest that is none is refused", async () => {
    const text = writeManifest((await build()).manifest);
    for (const change of [
      text.replace('"version": 1,', '"version": 2,'),
      text.replace('"emulated"', '"other"'),
      text.replace('"kind": "rootfs"', '"kind": "rootfs", "x": 1'),
      text.replace(/"PCR0": "../, '"PCR0": "'),
    ]) {
      expect(change).not.toBe(text);
      expect(await verdict(() => parseManifest(utf8(change), "manifest"))).toBe("ERR_EIF_INPUT");
    }
  });

  test("the bill of materials is SPDX 2.3: every input a package, every file a file, no clock", async () => {
    const { manifest, image } = await build();
    const sbom = JSON.parse(writeSbom(manifest, image));
    expect(sbom).toMatchObject({
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      creationInfo: { created: "1970-01-01T00:00:00Z" },
    });
    expect(sbom.documentNamespace).toContain(manifest.image.sha256);
    expect(sbom.packages.map(({ name }: { name: string }) => name)).toEqual(["app", ...Object.keys(manifest.inputs)]);
    const names = sbom.files.map(({ fileName }: { fileName: string }) => fileName);
    expect(names).toEqual([
      "./cloister/exec",
      "./init",
      "./modules/nsm.ko",
      "./modules/order",
      "./rootfs/bin/app",
      "./rootfs/up",
    ]);
    expect(sbom.files.at(-1).comment).toContain("symbolic link");
    const commented = sbom.packages.filter(({ comment }: { comment?: string }) => comment !== undefined);
    expect(commented.map(({ name }: { name: string }) => name)).toEqual(["rootfs"]);
    const ids = [...sbom.packages, ...sbom.files].map(({ SPDXID }: { SPDXID: string }) => SPDXID);
    expect(new Set(ids).size).toBe(ids.length);
    const related = sbom.relationships.map(
      ({ relatedSpdxElement }: { relatedSpdxElement: string }) => relatedSpdxElement,
    );
    expect(related.sort()).toEqual(ids.sort());
  });
});
