/** What docs/mock-aws.md and the README tell people to type, typed: the seed, the shell's lines, the snippet. */
import { execFile, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(join(repository, "docs/mock-aws.md"), "utf8");
const readme = readFileSync(join(repository, "README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "cloister-page-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The page's blocks of a language; those that need what is not here say `ignore`. */
const blocks = (language: string): readonly string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text = ""]) => text);

/** The built command, and the one call of AWS's own command line that is made, through the SDK. */
const AWS = `const { KMS } = require(${JSON.stringify(join(repository, "node_modules/@aws-sdk/client-kms"))});
const [, , , operation, , KeyId] = process.argv;
const kms = new KMS({});
const call = operation === "create-key" ? kms.createKey({}) : kms.describeKey({ KeyId });
call.then(({ KeyMetadata }) => console.log(KeyMetadata.Arn));`;
const programs = mkdtempSync(join(folder, "bin-"));
writeFileSync(join(programs, "aws.cjs"), AWS);
for (const [name, script] of [
  ["cloister", join(repository, "dist/cli/main.js")],
  ["aws", join(programs, "aws.cjs")],
] as const) {
  writeFileSync(join(programs, name), `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`);
  chmodSync(join(programs, name), 0o755);
}

/** Starts the first line in a folder of its own, then types the rest in another shell. */
async function type(upLine: string, script: string, files: Readonly<Record<string, string>>): Promise<string> {
  const cwd = mkdtempSync(join(folder, "run-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  const env = { PATH: `${programs}:${process.env["PATH"] ?? ""}`, HOME: cwd };
  const up = spawn("sh", ["-c", `exec ${upLine}`], { cwd, env, stdio: ["ignore", "ignore", "pipe"] });
  try {
    let said = "";
    for await (const chunk of up.stderr) {
      said += String(chunk);
      if (said.includes("mock AWS listens on")) break;
    }
    expect(existsSync(join(cwd, "aws.env")), said).toBe(true);
    return await new Promise((done) => {
      const shell = execFile("sh", ["-e", "-c", script], { cwd, env }, (_error, stdout, stderr) => {
        done(`${stdout}${stderr}exit ${shell.exitCode}`);
      });
    });
  } finally {
    up.kill("SIGTERM");
    await new Promise((done) => (up.exitCode === null ? up.once("close", done) : done(undefined)));
  }
}

test("the page's blocks of the shell, with the page's seed", async () => {
  const [[upLine = "", script = ""], [seed = ""]] = [blocks("sh"), blocks("json")];
  const shown = await type(upLine, script, { "team.json": seed });
  expect(shown).toMatch(/^arn:aws:kms:eu-central-1:111122223333:key\/mrk-/);
  expect(shown).toContain("\nmock AWS at https://127.0.0.1:");
  expect(shown).toMatch(/\nDescribeKey .* succeeded\n/);
  expect(shown).toMatch(/exit 0$/);
}, 120_000);

test("the README's two lines", async () => {
  const [, upLine = "", then = ""] = /^(cloister aws up .*?) {2}.*then (.*)$/m.exec(readme) ?? [];
  const [, status = ""] = /^(cloister aws status)\|/m.exec(readme) ?? [];
  const shown = await type(upLine, `${then}\n${status}`, {});
  expect(shown).toMatch(/^arn:aws:kms:us-east-1:111122223333:key\//);
  expect(shown).toContain("\nmock AWS at https://127.0.0.1:");
  expect(shown).toMatch(/exit 0$/);
}, 120_000);

test("the page's snippet, with the page's seed", async () => {
  const [[snippet = ""], [seed = ""]] = [blocks("ts"), blocks("json")];
  const cwd = mkdtempSync(join(folder, "snippet-"));
  writeFileSync(join(cwd, "team.json"), seed);
  const [from, to] = ['"cloister/testing"', JSON.stringify(pathToFileURL(join(repository, "mock/testing.ts")).href)];
  expect(snippet).toContain(from);
  const body = snippet.replace(from, to).replace('"team.json"', JSON.stringify(join(cwd, "team.json")));
  const [imports = "", ...lines] = body.split("\n");
  const run = `${imports}\nexport async function run() {\n${lines.join("\n")}\nreturn { keys, credentials };\n}\n`;
  const path = join(cwd, "snippet.ts");
  writeFileSync(path, run);
  const loaded = (await import(/* @vite-ignore */ path)) as {
    run(): Promise<{ readonly keys: object; readonly credentials: readonly { readonly name: string }[] }>;
  };
  const { keys, credentials } = await loaded.run();
  expect(Object.keys(keys)).toEqual(["invoices"]);
  expect(credentials.map(({ name }) => name)).toEqual(["admin", "enclave"]);
});
