/** Nothing native is loaded, nothing runs at installation, and the lock file installs anywhere. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(import.meta.url);

interface Locked {
  readonly name?: string;
  readonly version?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(readFileSync(`${root}package-lock.json`, "utf8")) as { packages: Record<string, Locked> };
const packages = Object.entries(lock.packages);
const runtime = packages.filter(([path, { dev }]) => path !== "" && !dev);

/** The shared objects named `*.node` that a Node process holds after it ran `code`. */
function addonsAfter(code: string): readonly string[] {
  const report = 'process.report.getReport().sharedObjects.filter((path) => path.endsWith(".node"))';
  const script = `${code}; console.log(JSON.stringify(${report}))`;
  const out = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: root,
    encoding: "utf8",
  });
  return JSON.parse(out) as string[];
}

test("the verifier loads no native addon", () => {
  const url = pathToFileURL(`${root}dist/shared/attestation/index.js`);
  const code = `const { verifyAttestation } = await import("${url}"); await verifyAttestation(new Uint8Array(9)).catch(() => 0)`;
  expect(addonsAfter(code)).toEqual([]);
});

test("the guard sees an addon", () => {
  const rolldown = createRequire(require.resolve("vite")).resolve("rolldown");
  expect(addonsAfter(`await import("${pathToFileURL(rolldown)}")`)).toHaveLength(1);
});

test("cbor-x's native companion is the empty package", () => {
  const companion = createRequire(require.resolve("cbor-x")).resolve("cbor-extract/package.json");
  expect(JSON.parse(readFileSync(companion, "utf8"))).toMatchObject({ name: "empty-npm-package" });
  const locked = packages.filter(([path]) => path.includes("cbor-extract"));
  expect(locked.map(([, { name }]) => name)).toEqual(["empty-npm-package"]);
});

test("no runtime dependency runs a script at installation or brings a native addon", () => {
  expect(runtime.length).toBeGreaterThan(20);
  expect(runtime.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  const addons = runtime.flatMap(([path]) =>
    readdirSync(`${root}${path}`, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".node")),
  );
  expect(addons).toEqual([]);
});

test("the lock file names no registry, and locks every dependency for every platform", () => {
  expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  const missing = packages.flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !isLocked(path, name)),
  );
  expect(missing).toEqual([]);
});

/** Whether Node's resolution from `path` upwards ends at a locked package. */
function isLocked(path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    if (lock.packages[`${folder}${folder === "" ? "" : "/"}node_modules/${name}`]) return true;
    if (folder === "") return false;
  }
}
