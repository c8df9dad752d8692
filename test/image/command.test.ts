import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eifBuild } from "../../cli/commands/eif-build.ts";
import { eifRebuild } from "../../cli/commands/eif-rebuild.ts";
import { nitroRoots } from "../../image/building.ts";
import { measureEifFile, readCpio, readEifFile } from "../../image/index.ts";
import { EMULATED_MODULES } from "../../image/recipe.ts";
import { toHex } from "../../shared/bytes.ts";
import { verdict } from "../eif/craft.ts";
import { fakeElf, fakeKernel, unpack } from "./craft-boot.ts";

let home: string;
let printed: string[];
let told: string[];
const terminal = {
  print: (text: string) => void printed.push(text),
  tell: (text: string) => void told.push(text),
  paint: (_: unknown, text: string) => text,
  debug: false,
};
const at = (name: string) => join(home, name);
const run = (...args: readonly string[]) => eifBuild(args, terminal);

beforeEach(() => {
  printed = [];
  told = [];
  home = mkdtempSync(join(tmpdir(), "command-"));
  mkdirSync(at("app"));
  mkdirSync(at("blobs"));
  mkdirSync(at("mods"));
  mkdirSync(at("lib"));
  writeFileSync(at("app/app.mjs"), "export {}");
  const roots = {
    attestationRoots: nitroRoots().attestationRoots.map((der) => Buffer.from(der).toString("base64")),
    tlsRoots: nitroRoots().tlsRoots,
  };
  writeFileSync(at("roots.json"), JSON.stringify(roots));
  writeFileSync(at("config.json"), '{"measured": true}');
  writeFileSync(at("node"), fakeElf({ loader: "/lib64/ld.so.2" }));
  writeFileSync(at("lib/ld.so.2"), fakeElf({}));
  writeFileSync(at("init"), fakeElf({}));
  writeFileSync(at("blobs/bzImage"), fakeKernel());
  writeFileSync(at("blobs/cmdline"), "reboot=k panic=30\n");
  writeFileSync(at("blobs/nsm.ko"), "nsm");
  for (const name of EMULATED_MODULES) writeFileSync(at(`mods/${name}`), name);
});
afterEach(() => rmSync(home, { recursive: true }));

const node = () => [
  "--app",
  at("app"),
  "--node",
  at("node"),
  "--libraries",
  at("lib"),
  "--native",
  "none",
  "--init",
  at("init"),
];
const nitro = () => ["--platform", "nitro", "--blobs", at("blobs"), ...node()];
const emulated = () => [
  "--platform",
  "emulated",
  "--kernel",
  at("blobs/bzImage"),
  "--modules",
  at("mods"),
  "--roots",
  at("roots.json"),
  ...node(),
];

const archive = () => ["--platform", "nitro", "--blobs", at("blobs"), "--archive", at("x"), "--unlocked"];
const ownMain = (...args: readonly string[]) => {
  writeFileSync(at("app/main.mjs"), "export {}");
  return ["--platform", "mock", "--app", at("app"), "--unlocked", ...args];
};

describe("cloister eif build", () => {
  test("nitro: kernel, command line and NSM driver are the blobs'; AWS's roots are in the entry", async () => {
    expect(await run(...nitro(), "--config", at("config.json"), "--output", at("a.eif"), "--unlocked")).toBe(0);
    const eif = await readEifFile(at("a.eif"));
    expect(new TextDecoder().decode(eif.cmdline)).toBe("reboot=k panic=30");
    const [first = new Uint8Array(), second = new Uint8Array()] = eif.ramdisks;
    expect(readCpio(first).map(({ path }) => path)).toContain("modules/nsm.ko");
    const main = unpack(second).find(({ path }) => path === "rootfs/app/main.mjs")?.data;
    expect(main).toContain("openNsmDevice");
    expect(main).toContain(JSON.stringify('{"measured":true}'));
    expect(main?.match(/BEGIN CERTIFICATE/g)).toHaveLength(5);
    const { pcr0 } = await measureEifFile(at("a.eif"));
    expect(printed[0]).toBe(`PCR0 ${toHex(pcr0)}`);
    expect(
      readdirSync(home)
        .filter((name) => name.startsWith("a.eif"))
        .sort(),
    ).toEqual(["a.eif", "a.eif.manifest.json", "a.eif.spdx.json"]);
  });

  test("emulated: its modules in order, its own command line; a mock image has no entry for devices", async () => {
    await run(...emulated(), "--output", at("e.eif"), "--unlocked", "--json");
    const eif = await readEifFile(at("e.eif"));
    expect(new TextDecoder().decode(eif.cmdline)).toContain("cloister.platform=emulated");
    expect(JSON.parse(printed[0] ?? "")).toMatchObject({
      PCR0: expect.stringMatching(/^[0-9a-f]{96}$/),
      size: expect.any(Number),
    });
    await run(
      "--platform",
      "mock",
      "--app",
      at("app"),
      "--roots",
      at("roots.json"),
      "--output",
      at("m.eif"),
      "--unlocked",
    );
    const main = readCpio((await readEifFile(at("m.eif"))).ramdisks[1] ?? new Uint8Array()).find(
      ({ path }) => path === "app/main.mjs",
    );
    expect(main?.kind === "file" && new TextDecoder().decode(main.data)).toContain("openNsmSocket");
  });

  test("a lock is written once and then held to", async () => {
    await run(...nitro(), "--output", at("a.eif"), "--unlocked", "--update-lock", at("lock.json"));
    expect(await run(...nitro(), "--output", at("b.eif"), "--lock", at("lock.json"))).toBe(0);
    expect(readFileSync(at("b.eif")).equals(readFileSync(at("a.eif")))).toBe(true);
    writeFileSync(at("blobs/nsm.ko"), "other");
    await expect(run(...nitro(), "--output", at("c.eif"), "--lock", at("lock.json"))).rejects.toMatchObject({
      details: { input: "module nsm.ko" },
    });
    expect(readdirSync(home)).not.toContain("c.eif");
  });

  test("a lock with a pin that no input uses is refused", async () => {
    await run(...nitro(), "--output", at("a.eif"), "--unlocked", "--update-lock", at("lock.json"));
    const lock = JSON.parse(readFileSync(at("lock.json"), "utf8"));
    lock.images["nitro/x86_64"]["native addon"] = { size: 1, sha256: "0".repeat(64) };
    writeFileSync(at("lock.json"), JSON.stringify(lock));
    await expect(run(...nitro(), "--output", at("b.eif"), "--lock", at("lock.json"))).rejects.toMatchObject({
      code: "ERR_EIF_INPUT_DRIFT",
      details: { input: "native addon", actual: "absent" },
    });
    expect(existsSync(at("b.eif"))).toBe(false);
  });

  test("an output is not written through a link, nor over another's file; an earlier image is replaced", async () => {
    writeFileSync(at("other"), "mine");
    symlinkSync(at("other"), at("a.eif.part"));
    symlinkSync(at("other"), at("a.eif"));
    await run(...nitro(), "--output", at("a.eif"), "--unlocked");
    expect(readFileSync(at("other"), "utf8")).toBe("mine");
    expect(lstatSync(at("a.eif.part")).isSymbolicLink()).toBe(true);
    expect(lstatSync(at("a.eif")).isFile()).toBe(true);
    expect(await run(...nitro(), "--output", at("a.eif"), "--unlocked")).toBe(0);
    mkdirSync(at("dir.eif"));
    expect(await verdict(() => run(...nitro(), "--output", at("dir.eif"), "--unlocked"))).toBe("ERR_EIF_OUTPUT");
    expect(readdirSync(home).filter((name) => name.endsWith(".part"))).toEqual(["a.eif.part"]);
  });

  test.each<[string, () => readonly string[]]>([
    ["an input", () => ["--output", at("node")]],
    ["an input through a linked folder", () => ["--output", at("linked/node")]],
    ["what an input's link leads to", () => ["--output", at("real"), "--config", at("link.json")]],
    ["in a folder that is read", () => ["--output", at("app/deep/a.eif")]],
    ["an image whose manifest is an input", () => ["--output", at("a"), "--config", at("a.manifest.json")]],
    ["a lock that is an input", () => ["--output", at("a.eif"), "--update-lock", at("init")]],
    ["a lock that is the image", () => ["--output", at("a.eif"), "--update-lock", at("a.eif")]],
  ])("refuses an output that is %s", async (_, args) => {
    symlinkSync(home, at("linked"));
    mkdirSync(at("app/deep"));
    writeFileSync(at("real"), "{}");
    symlinkSync(at("real"), at("link.json"));
    writeFileSync(at("a.manifest.json"), "{}");
    const before = readFileSync(at("node"));
    expect(await verdict(() => run(...nitro(), "--unlocked", ...args()))).toBe("ERR_EIF_OUTPUT");
    expect(readFileSync(at("node")).equals(before)).toBe(true);
  });

  test("refuses the lock as an output", async () => {
    await run(...nitro(), "--output", at("a.eif"), "--unlocked", "--update-lock", at("lock.json"));
    const before = readFileSync(at("lock.json"), "utf8");
    const call = () => run(...nitro(), "--output", at("lock.json"), "--lock", at("lock.json"));
    expect(await verdict(call)).toBe("ERR_EIF_OUTPUT");
    expect(readFileSync(at("lock.json"), "utf8")).toBe(before);
  });

  test("rebuild refuses an image file that is not the one that was built again; says so where there is none", async () => {
    await run(...nitro(), "--output", at("a.eif"), "--unlocked");
    const check = (...args: readonly string[]) => eifRebuild(["--check", at("a.eif.manifest.json"), ...args], terminal);
    const last = () => JSON.parse(printed.at(-1) ?? "");
    expect(await check("--json")).toBe(0);
    expect(last()).toMatchObject({ imageFile: "the same" });
    const bytes = readFileSync(at("a.eif"));
    rmSync(at("a.eif"));
    expect(told).toEqual([]);
    expect(await check("--json")).toBe(0);
    expect(last()).toMatchObject({ imageFile: "not compared" });
    expect(told.join()).toContain("image file not compared");
    writeFileSync(at("elsewhere.eif"), bytes);
    expect(await check("--image", at("elsewhere.eif"))).toBe(0);
    expect(await verdict(() => check("--image", at("gone.eif")))).toBe("ERR_EIF_FILE");
    writeFileSync(at("a.eif"), bytes.fill(7, 600, 601));
    expect(await verdict(check)).toMatch(/^ERR_EIF_REBUILD /);
  });

  test("rebuild confirms a manifest, from wherever it is called", async () => {
    await run(...nitro(), "--output", at("a.eif"), "--unlocked");
    const [pcr0] = printed;
    printed = [];
    expect(await eifRebuild(["--check", at("a.eif.manifest.json")], terminal)).toBe(0);
    expect(printed[0]).toBe(pcr0);
    expect(readFileSync(at("a.eif.manifest.json"), "utf8")).not.toContain(home);
    writeFileSync(at("app/app.mjs"), "changed");
    expect(await verdict(() => eifRebuild(["--check", at("a.eif.manifest.json")], terminal))).toBe(
      "ERR_EIF_INPUT_DRIFT",
    );
  });

  test.each<[string, () => readonly string[], string]>([
    ["no lock and no word for none", () => nitro(), "UsageError"],
    ["a lock and the word for none", () => [...nitro(), "--unlocked", "--lock", at("x")], "UsageError"],
    ["no source", () => ["--platform", "nitro", "--unlocked"], "UsageError"],
    ["two sources", () => [...nitro(), "--archive", "x", "--unlocked"], "UsageError"],
    ["a config for an archive", () => [...archive(), "--config", at("config.json")], "UsageError"],
    ["a config for a main.mjs of its own", () => ownMain("--config", at("config.json")), "ERR_EIF_INPUT"],
    ["roots for a main.mjs of its own", () => ownMain("--roots", at("roots.json")), "ERR_EIF_INPUT"],
    ["a platform that is not known", () => ["--platform", "x", "--unlocked"], "UsageError"],
    ["other roots for EC2", () => [...nitro(), "--roots", at("roots.json"), "--unlocked"], "ERR_EIF_INPUT"],
    [
      "no roots for an emulated one",
      () =>
        emulated()
          .filter((word) => word !== "--roots" && word !== at("roots.json"))
          .concat("--unlocked"),
      "ERR_EIF_INPUT",
    ],
    [
      "a library that is not there",
      () => [...nitro().map((word) => (word === at("lib") ? at("mods") : word)), "--unlocked"],
      "ERR_EIF_INPUT",
    ],
    ["a lock that is not there", () => [...nitro(), "--lock", at("x")], "ERR_EIF_FILE"],
    [
      "a folder that is not there for the output",
      () => [...nitro(), "--unlocked", "--output", at("x/y.eif")],
      "ERR_EIF_OUTPUT",
    ],
  ])("refuses %s", async (_, args, expected) => {
    const output = args().includes("--output") ? [] : ["--output", at("o.eif")];
    expect(await verdict(() => run(...output, ...args()))).toBe(expected);
  });
});
