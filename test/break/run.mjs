/**
 * Breaks each check once, in a clone of what is committed, and shows that its tests and the demo notice: `make break`, some minutes.
 *
 * A row of breaks.json is one edit that must apply exactly once. The copy is built, the named tests are run, the demo is
 * run; a break that either does not notice fails this script.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const vectors = process.env.CLOISTER_VECTORS ?? resolve(root, "../shared/vectors");
const wanted = process.argv[2] ?? "";
const breaks = JSON.parse(readFileSync(new URL("breaks.json", import.meta.url), "utf8"));

let unnoticed = 0;
for (const { check, file, find, replace, tests } of breaks.filter((row) => row.check.includes(wanted))) {
  const copy = mkdtempSync(join(tmpdir(), "break-"));
  try {
    execFileSync("git", ["clone", "--quiet", root, copy]);
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const source = readFileSync(join(copy, file), "utf8");
    if (source.split(find).length !== 2) throw new Error(`${check}: the edit must apply exactly once in ${file}`);
    writeFileSync(
      join(copy, file),
      source.replace(find, () => replace),
    );
    const run = (command, args) =>
      spawnSync(command, args, { cwd: copy, encoding: "utf8", env: { ...process.env, CLOISTER_VECTORS: vectors } });
    const built = run("npm", ["run", "--silent", "build"]);
    if (built.status !== 0) throw new Error(`${check}: the broken copy does not build\n${built.stdout}${built.stderr}`);
    const tested = run("npx", ["vitest", "run", "--reporter=json", ...tests]);
    const { numFailedTests = 0 } = JSON.parse(tested.stdout.slice(tested.stdout.indexOf("{")) || "{}");
    const demo = run("node", ["dist/cli/main.js", "demo", "--json"]);
    const { steps = [] } = JSON.parse(demo.stdout || "{}");
    const broken = steps.filter((step) => !step.held).map((step) => step.title);
    const noticed = numFailedTests > 0 && demo.status !== 0 && broken.length > 0;
    if (!noticed) unnoticed++;
    console.log(
      `${noticed ? "noticed " : "MISSED  "} ${check}\n          ${numFailedTests} tests failed; demo: ${broken.join("; ") || "held"}`,
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
console.log(unnoticed === 0 ? "every break was noticed by tests and demo" : `${unnoticed} breaks were missed`);
process.exitCode = unnoticed === 0 ? 0 : 1;
