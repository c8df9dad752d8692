/** A nitro-cli that does not start: what is told apart is what trying again can help, and what it can not. */
import { spawnSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { createNitroLauncher } from "../../../parent/launcher/nitro.ts";
import { isFinal } from "../../../parent/launcher/verdict.ts";
import { scratch } from "../../launcher/fixture.ts";
import { bundle } from "../bundle.ts";

const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error("it did not fail"),
    (error: Error) => error,
  );

describe("a nitro-cli that does not start", () => {
  test("is not there, is no program, or leads through a file: this host lacks it, for good", async () => {
    const folder = await scratch();
    const closed = join(folder, "nitro-cli");
    await writeFile(closed, "#!/bin/sh\n");
    await chmod(closed, 0o600);
    for (const [file, reason] of [
      [join(folder, "none"), "ENOENT"],
      [closed, "EACCES"],
      [join(closed, "nitro-cli"), "ENOTDIR"],
    ] as const) {
      const error = await failure(createNitroLauncher({ file, env: {} }).list());
      expect(error).toMatchObject({ code: "ERR_LAUNCHER_HOST", details: { needs: file, reason } });
      expect(isFinal(error)).toBe(true);
    }
  });

  test("an error that Node throws, and no event tells, is one of the tool's: it is tried again", async () => {
    const env = { LARGE: "x".repeat(1_048_576) };
    const launcher = createNitroLauncher({ file: process.execPath, env });
    const error = await failure(launcher.list());
    const details = { tool: "nitro-cli describe-enclaves", reason: "E2BIG" };
    expect(error).toMatchObject({ code: "ERR_LAUNCHER_TOOL_FAILED", details, cause: { code: "E2BIG" } });
    expect(isFinal(error)).toBe(false);
  });

  test("a process without descriptors: the same, and when it has some again the command runs", async () => {
    const folder = await scratch();
    const script = join(folder, "short.mjs");
    await bundle(SHORTAGE, script);
    const fake = fileURLToPath(new URL("../../launcher/fake-nitro-cli.mjs", import.meta.url));
    const PATH = [dirname(process.execPath), "/usr/bin", "/bin"].join(delimiter);
    const env = { PATH, FAKE_NITRO_FOLDER: folder };
    const command = 'ulimit -n 64; exec "$0" "$@"';
    const ran = spawnSync("/bin/sh", ["-c", command, process.execPath, script, fake], { env, encoding: "utf8" });
    const details = { tool: "nitro-cli describe-enclaves", reason: "EMFILE" };
    const refusal = { code: "ERR_LAUNCHER_TOOL_FAILED", details };
    expect([JSON.parse(ran.stdout), ran.stderr]).toEqual([{ during: refusal, isFinal: false, after: [] }, ""]);
  });
});

const SHORTAGE = `
import { closeSync, openSync } from "node:fs";
import { createNitroLauncher } from "./parent/launcher/nitro.ts";
import { isFinal } from "./parent/launcher/verdict.ts";
const launcher = createNitroLauncher({ file: process.argv[2], env: process.env });
const open = [];
try {
  for (;;) open.push(openSync("/dev/null"));
} catch (error) {
  if (error.code !== "EMFILE") throw error;
}
const error = await launcher.list().catch((error) => error);
for (const fd of open) closeSync(fd);
const { code, details } = error;
console.log(JSON.stringify({ during: { code, details }, isFinal: isFinal(error), after: await launcher.list() }));
`;
