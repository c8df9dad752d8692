/**
 * Runs the built verifier over every genuine document, as it is and damaged, in several runtimes: `make test-nodes`.
 *
 *   node test/everywhere/nodes.mjs <binary> …
 *
 * The rows are made once, here, so that every runtime is asked the same; this process's Node is always one of them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
process.env.CLOISTER_VECTORS ??= fileURLToPath(new URL("../../../shared/vectors", import.meta.url));
if (!existsSync(join(process.env.CLOISTER_VECTORS, "index.json"))) {
  console.error("test-nodes: error: the reference vectors are absent");
  console.error("test-nodes: hint: name their folder in CLOISTER_VECTORS");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "nodes-"));
let failed = false;
try {
  const outfile = join(folder, "rows.mjs");
  await build({
    absWorkingDir: root,
    entryPoints: ["test/everywhere/rows.ts"],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    outfile,
  });
  const { genuineRows, mockRows } = await import(outfile);
  const genuine = genuineRows();
  const rows = [...genuine, ...(await mockRows())];
  const asTheyAre = genuine.filter((row) => row.expect === "accepted").length;
  const others = rows.length - genuine.length;
  console.log(
    `${asTheyAre} genuine documents, ${genuine.length - asTheyAre} with one bit flipped, ${others} rows of the mock`,
  );
  writeFileSync(join(folder, "rows.json"), JSON.stringify(rows));
  for (const binary of [process.execPath, ...process.argv.slice(2)]) {
    const { runtime, accepted, refused, wrong } = run(binary, folder);
    console.log(`${runtime.padEnd(15)} ${accepted} accepted, ${refused} refused, ${wrong.length} wrong`);
    for (const each of wrong) console.log(`  ${each}`);
    failed ||= wrong.length > 0 || accepted + refused !== rows.length;
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.exitCode = failed ? 1 : 0;

function run(binary, rows) {
  const script = join(root, "test/everywhere/run-rows.mjs");
  const deno = basename(binary).startsWith("deno") ? ["run", "--allow-read", "--no-remote", "--no-prompt"] : [];
  const verifier = join(root, "dist/shared/attestation/index.js");
  return JSON.parse(execFileSync(binary, [...deno, script, verifier, join(rows, "rows.json")], { encoding: "utf8" }));
}
