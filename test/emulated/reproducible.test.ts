/**
 * The demo's image, built twice from two clones in folders of different names: the same file to the byte. The second
 * build is held to what the first pinned.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { emulator, hasEmulator } from "./emulator.ts";
import { workFolder } from "./images.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const key = (name: string): object => ({
  keyArn: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
  context: { dataset: name },
});

describe.skipIf(!hasEmulator)("two builds in two clones (needs `make emulator`)", () => {
  const folder = hasEmulator ? workFolder() : "";
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function clone(name: string, umask: string): string {
    const tree = join(folder, name);
    const sh = (command: string): void => {
      const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], TZ: name.length > 3 ? "Asia/Tokyo" : "UTC" };
      execFileSync("sh", ["-euc", `umask ${umask}; ${command}`], {
        cwd: folder,
        env,
        stdio: ["ignore", "pipe", "pipe"],
      });
    };
    sh(`git clone --quiet '${root}' '${tree}'`);
    symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
    sh(`cd '${tree}' && sh native/build.sh && npm run --silent build`);
    return tree;
  }

  function build(tree: string, lock: readonly string[]): string {
    const app = join(tree, "app");
    mkdirSync(app);
    const bundle = readFileSync(join(tree, "dist/examples/joint-analysis/enclave.bundle.mjs"));
    writeFileSync(join(app, "app.mjs"), bundle);
    // Which roots does not matter here: some that every machine with this Node has.
    const [pem = ""] = rootCertificates;
    const attestationRoots = [pem.replace(/-----[A-Z ]+-----|\n/g, "")];
    writeFileSync(join(tree, "roots.json"), JSON.stringify({ attestationRoots, tlsRoots: [`${pem}\n`] }));
    writeFileSync(join(tree, "config.json"), JSON.stringify({ datasets: { flights: key("f"), strikes: key("s") } }));
    const from = (name: string): string => join(emulator.folder, name);
    const output = join(tree, "demo.eif");
    execFileSync(process.execPath, [
      ...[join(tree, "dist/cli/main.js"), "eif", "build", "--platform", "emulated", "--app", app],
      ...[
        "--node",
        from("node"),
        "--libraries",
        from("lib"),
        "--native",
        join(tree, "native/prebuilds/linux-x64.node"),
      ],
      ...["--roots", join(tree, "roots.json"), "--config", join(tree, "config.json")],
      ...["--kernel", from("vmlinuz"), "--modules", from("modules"), "--output", output, ...lock],
    ]);
    return output;
  }

  test("are the same to the byte", { timeout: 300_000 }, () => {
    const lock = join(folder, "image.lock.json");
    const one = build(clone("one", "022"), ["--unlocked", "--update-lock", lock]);
    const other = build(clone("another-folder", "077"), ["--lock", lock]);
    const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
    process.stdout.write(`${digest(one)} and ${digest(other)}, ${readFileSync(one).length} bytes\n`);
    expect(digest(other)).toBe(digest(one));
    expect(digest(`${other}.spdx.json`)).toBe(digest(`${one}.spdx.json`));
  });
});
