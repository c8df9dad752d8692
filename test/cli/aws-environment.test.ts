/** The files that clients of a mock AWS read: where they may be, what is in them, and that none is left of a failure. */
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { type Environment, writeEnvironment } from "../../cli/commands/aws-environment.ts";

const base = mkdtempSync(join(tmpdir(), "cloister-environment-"));
afterAll(() => rmSync(base, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(base, "f"));
});

const admin = {
  accountId: "111122223333",
  type: "user",
  name: "admin",
  accessKeyId: "AKIA",
  secretAccessKey: "a/+=",
} as const;
const environment: Environment = {
  url: "https://127.0.0.1:1",
  region: "eu-central-1",
  caCertificate: "a certificate\n",
  credentials: [admin],
};
const codeOf = (writing: Promise<unknown>): Promise<string> =>
  writing.then(
    () => "written",
    (error: { code: string }) => error.code,
  );

describe("where", () => {
  test("three files, for this user only, in the place of what is there", async () => {
    writeFileSync(join(folder, "env"), "old", { mode: 0o666 });
    await writeEnvironment(environment, join(folder, "env"));
    const names = ["env", "env.ca.pem", "env.credentials"];
    expect(readdirSync(folder)).toEqual(names);
    for (const name of names) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  test("a link is replaced, and what it names is left alone", async () => {
    writeFileSync(join(folder, "kept"), "kept");
    symlinkSync(join(folder, "kept"), join(folder, "env"));
    await writeEnvironment(environment, join(folder, "env"));
    expect(readFileSync(join(folder, "kept"), "utf8")).toBe("kept");
    expect(lstatSync(join(folder, "env")).isFile()).toBe(true);
  });

  test("no folder, no pipe, no device, no name at all: nothing is written", async () => {
    mkdirSync(join(folder, "d"));
    mkdirSync(join(folder, "e.credentials"));
    mkdirSync(join(folder, "g.ca.pem"));
    execFileSync("mkfifo", [join(folder, "f")]);
    const before = readdirSync(folder);
    const paths = [
      ...["d", "new/", "d/.", "d/..", "e", "f", "g", "a\nb", "a\u001bb"].map((name) => `${folder}/${name}`),
    ];
    for (const path of [...paths, "", "/dev/null", "/dev/null/env"])
      expect([path, await codeOf(writeEnvironment(environment, path))]).toEqual([path, "ERR_CONFIG_FILE"]);
    expect([readdirSync(folder), readdirSync(join(folder, "d"))]).toEqual([before, []]);
  });

  test("what can not be written whole is not there at all", async () => {
    // The draft of the last of the three can not be made.
    mkdirSync(join(folder, `env.${process.pid}`));
    expect(await codeOf(writeEnvironment(environment, join(folder, "env")))).toBe("ERR_CONFIG_FILE");
    expect(readdirSync(folder)).toEqual([`env.${process.pid}`]);
  });
});

describe("what", () => {
  test.each([
    ["a secret", { secretAccessKey: "x\n[default]\ncredential_process = id" }],
    ["a token", { sessionToken: "x\ry" }],
    ["an access key", { accessKeyId: "x y" }],
    ["a name", { name: "a]\n[b" }],
  ])("%s that would be a line of the credentials file: refused, and nothing is written", async (_what, change) => {
    const writing = writeEnvironment({ ...environment, credentials: [{ ...admin, ...change }] }, join(folder, "env"));
    expect(await codeOf(writing)).toBe("ERR_CONFIG_FIELD_INVALID");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a shell reads every value as one word", async () => {
    const control = "/tmp/it's $(echo x)/`id`.sock";
    const { path } = await writeEnvironment({ ...environment, control }, join(folder, "env"));
    const seen = execFileSync("sh", ["-c", `. "$0"; printf %s "$CLOISTER_AWS_CONTROL"`, path], { encoding: "utf8" });
    expect(seen).toBe(control);
  });
});
