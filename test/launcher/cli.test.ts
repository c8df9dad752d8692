/** The commands as users start them, in mock mode and with a stand-in for nitro-cli. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { cloister, type Ran } from "../built.ts";
import { FAKE_GUEST, isAlive, mockImage, plainImage, scratch } from "./fixture.ts";

const PATIENT = { timeout: 60_000 };
const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let home: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  home = await scratch();
  env = { XDG_RUNTIME_DIR: home };
});

const enclave = (...args: string[]): Promise<Ran> => cloister(["enclave", ...args], { env });
const mock = (...args: string[]): Promise<Ran> => enclave(...args, "--platform", "mock");

describe("cloister enclave, platform mock", PATIENT, () => {
  test("run, list, describe, console, terminate: each command finds what the one before left", async () => {
    const { eifPath, image } = await mockImage(await scratch());
    const ran = await mock("run", eifPath, "--dangerously-run-in-debug-mode", "--json");
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain("MOCK MODE");
    const started = JSON.parse(ran.stdout) as { enclaveId: string };
    expect(started).toMatchObject({ trust: "mock", state: "running", debug: true, memoryMiB: 512, pcrs: image.pcrs });
    const { enclaveId } = started;
    expect(JSON.parse((await mock("list", "--json")).stdout)).toEqual([started]);
    expect(JSON.parse((await mock("describe", enclaveId, "--json")).stdout)).toEqual(started);
    const text = (await mock("describe", enclaveId)).stdout;
    expect(text).toContain(`unix://${home}/cloister/mock/v/16/8080`);
    expect(text).toContain("trust: mock");
    expect(text).toContain("DEBUG MODE");
    await expect.poll(async () => (await mock("console", enclaveId)).stdout, PATIENT).toBe("inside\n");
    const ended = await mock("terminate", enclaveId, "--json");
    expect(JSON.parse(ended.stdout)).toEqual({ enclaveId, terminated: true, trust: "mock" });
    const twice = await mock("terminate", enclaveId);
    expect(twice).toMatchObject({ code: 2, stdout: "" });
    expect(twice.stderr).toContain("[ERR_LAUNCHER_ENCLAVE_UNKNOWN]");
    expect(await readdir(join(home, "cloister/mock"))).toEqual([]);
  });

  test("debug mode has one spelling", async () => {
    const { eifPath } = await mockImage(await scratch());
    for (const flag of ["--debug-mode", "--dangerously-run-in-debug-mode=yes"]) {
      expect((await mock("run", eifPath, flag)).code).toBe(2);
    }
    // --debug, of all commands, shows stacks: it opens nothing.
    const ran = await mock("run", eifPath, "--debug", "--json");
    const { enclaveId, debug } = JSON.parse(ran.stdout) as { enclaveId: string; debug: boolean };
    expect(debug).toBe(false);
    expect(await mock("console", enclaveId)).toMatchObject({ code: 4, stdout: "" });
    await mock("terminate", enclaveId);
  });

  test.each([
    ["no platform", ["list"], 2],
    ["another platform", ["list", "--platform", "moon"], 2],
    ["a number that is none", ["run", "x.eif", "--platform", "mock", "--memory", "1e3"], 2],
    ["no image", ["run", "--platform", "mock"], 2],
    ["a file that is not there", ["run", "/nonexistent.eif", "--platform", "mock"], 2],
    ["a file that is no image", ["run", fileURLToPath(import.meta.url), "--platform", "mock"], 3],
    ["an unknown id", ["describe", "i-0-enc0", "--platform", "mock"], 2],
  ])("%s: exit code, nothing on standard output", async (_, args, code) => {
    expect(await enclave(...args)).toMatchObject({ code, stdout: "" });
  });

  test.each(["run", "list", "describe", "console", "terminate"])("%s --help has an example", async (verb) => {
    const { code, stdout } = await enclave(verb, "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^usage: cloister enclave ${verb}[\\s\\S]+example: cloister enclave ${verb} `));
  });
});

describe("cloister enclave, platforms nitro and emulated", PATIENT, () => {
  test("without nitro-cli this host lacks it: exit code 6", async () => {
    env["PATH"] = home;
    const { code, stderr } = await enclave("list", "--platform", "nitro");
    expect(code).toBe(6);
    expect(stderr).toContain("[ERR_LAUNCHER_HOST]");
    expect(stderr).not.toContain("MOCK MODE");
  });

  test("nitro: a mock image is refused by exit code 4; one for EC2 runs, and nothing says mock", async () => {
    const bin = join(home, "bin");
    await mkdir(bin);
    const stand = fileURLToPath(new URL("./fake-nitro-cli.mjs", import.meta.url));
    const script = `#!/bin/sh\nFAKE_NITRO_FOLDER='${home}' exec '${process.execPath}' '${stand}' "$@"\n`;
    await writeFile(join(bin, "nitro-cli"), script, { mode: 0o700 });
    env["PATH"] = [bin, process.env["PATH"]].join(delimiter);
    const folder = await scratch();
    const mocked = await mockImage(folder);
    expect((await enclave("run", mocked.eifPath, "--platform", "nitro")).code).toBe(4);
    const { eifPath, image } = await plainImage(folder);
    const ran = await enclave("run", eifPath, "--platform", "nitro", "--cid", "33", "--json");
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(ran.stdout)).toMatchObject({ trust: "aws", cid: 33, pcrs: image.pcrs, debug: false });
  });

  test.each(["SIGINT", "SIGKILL"] as const)("emulated: run that gets %s takes its boot with it", async (signal) => {
    const state = join(home, "cloister/emulated");
    const guest = (args: string): string => `#!/bin/sh\nexec '${process.execPath}' '${FAKE_GUEST}' ${args}\n`;
    await mkdir(join(home, "emulator"));
    const write = (name: string, text: string): Promise<void> =>
      writeFile(join(home, "emulator", name), text, { mode: 0o700 });
    await write("vhost-device-vsock", guest("listen 16.dev"));
    await write("qemu-system-x86_64", guest("boot . 9"));
    const { eifPath } = await plainImage(await scratch());
    const args = ["enclave", "run", eifPath, "--platform", "emulated", "--emulator", join(home, "emulator")];
    const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, ...env }, stdio: "ignore" });
    const ended = once(child, "exit");
    const record = async (): Promise<{ pid: number }[]> =>
      JSON.parse(await readFile(join(state, "processes.json"), "utf8").catch(() => "[]"));
    await expect.poll(async () => (await record()).length, PATIENT).toBe(3);
    const pids = (await record()).map(({ pid }) => pid);
    child.kill(signal);
    expect(await ended).toEqual([null, signal]);
    for (const pid of pids) await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
    expect(await readdir(state)).toEqual([]);
  });

  test("emulated: without the emulator this host lacks it, and nothing stays behind", async () => {
    const { eifPath } = await plainImage(await scratch());
    const { code, stderr } = await enclave("run", eifPath, "--platform", "emulated");
    expect(code).toBe(6);
    expect(stderr).toContain("MOCK MODE");
    const { code: absent } = await enclave("run", eifPath, "--platform", "emulated", "--emulator", "/nonexistent");
    expect(absent).toBe(6);
    expect(JSON.parse((await enclave("list", "--platform", "emulated", "--json")).stdout)).toEqual([]);
  });
});
