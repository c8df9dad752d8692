/**
 * The first hour: a project that `cloister init` wrote builds, and its own test passes, by the commands of its README.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { file, shortFolder } from "./parent-bed.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const main = join(root, "dist/cli/main.js");
const isBuilt = existsSync(main);
const folder = shortFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly output: string;
}

function command(program: string, args: readonly string[], cwd = folder): Promise<Ended> {
  const env = { ...process.env, NODE_ENV: "test", VITEST: "", NO_COLOR: "1" };
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}

const init = (...args: readonly string[]): Promise<Ended> => command(process.execPath, [main, "init", ...args]);

/** As `npm install` leaves it, without a registry. */
function install(project: string): void {
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, ".bin"), { recursive: true });
  symlinkSync(root, join(modules, "cloister"));
  for (const name of ["esbuild", "typescript", "vitest", "@types"]) {
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of ["esbuild", "tsc", "vitest"]) {
    symlinkSync(join(root, "node_modules/.bin", name), join(modules, ".bin", name));
  }
  file(join(modules, ".bin"), "cloister", `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, 0o755);
}

describe.skipIf(!isBuilt)("cloister init (needs `npm run build`)", () => {
  test("what it writes passes its own test: the image is built, run, asked; another one is refused", async () => {
    expect(await init("hello")).toMatchObject({ code: 0, output: expect.stringContaining("hello/app.ts") });
    const project = join(folder, "hello");
    expect(readFileSync(join(project, "app.ts"), "utf8").split("\n").length).toBeLessThan(30);
    install(project);
    const ran = await command("npm", ["test"], project);
    expect(ran.output).toMatch(/Tests +3 passed/);
    expect(ran.code).toBe(0);
    // The test built in a folder of its own; the project's has the bundle and no secret.
    expect(readdirSync(join(project, "dist"))).toEqual(["app.mjs"]);
    expect(existsSync(join(project, "mock-root.json"))).toBe(false);
  }, 180_000);

  test("versions are exact, and the toolkit is the one that wrote them", async () => {
    await init("exact");
    const read = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, Record<string, string>>;
    const { dependencies, devDependencies } = read(join(folder, "exact/package.json"));
    for (const version of Object.values(devDependencies ?? {})) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(read(join(folder, "exact", dependencies?.["cloister"]?.slice(5) ?? "", "package.json"))["name"]).toBe(
      "cloister",
    );
  });

  test("only its owner may write parent.yaml, whatever the umask; the parent takes it", async () => {
    await command("sh", ["-c", `umask 000; "${process.execPath}" "${main}" init open`]);
    expect(statSync(join(folder, "open/parent.yaml")).mode & 0o777).toBe(0o644);
    const checked = await command(process.execPath, [main, "parent", "up", "--check", "--config", "open/parent.yaml"]);
    expect(checked.code).toBe(0);
  });

  test("a folder that is not empty stays as it is; an empty one is taken", async () => {
    mkdirSync(join(folder, "taken"));
    expect((await init("taken")).code).toBe(0);
    rmSync(join(folder, "taken/app.ts"));
    const before = readdirSync(join(folder, "taken"));
    expect(await init("taken")).toMatchObject({ code: 2, output: expect.stringContaining("ERR_CONFIG_FILE") });
    expect(readdirSync(join(folder, "taken"))).toEqual(before);
    file(folder, "plain", "");
    expect((await init("plain")).code).toBe(2);
    mkdirSync(join(folder, "hidden"));
    file(join(folder, "hidden"), ".keep", "");
    expect((await init("hidden")).code).toBe(2);
  });

  test.each(["../up", "Hello", "a b", ".", "", "1st", `a${"b".repeat(40)}`, "a/b", "a\n"])(
    "%j is no name: exit code 2, and nothing is written",
    async (name) => {
      const before = readdirSync(folder);
      expect(await init(name)).toMatchObject({ code: 2, output: expect.stringContaining("ERR_CONFIG_FIELD_INVALID") });
      expect(readdirSync(folder)).toEqual(before);
    },
  );

  test("a name of 40 characters is one; without a name or with two it is a mistake", async () => {
    expect((await init(`a${"b".repeat(39)}`)).code).toBe(0);
    expect((await init()).code).toBe(2);
    expect((await init("one", "two")).code).toBe(2);
    expect(existsSync(join(folder, "one"))).toBe(false);
    expect((await init("--help")).output).toContain("usage: cloister init NAME");
  });
});
