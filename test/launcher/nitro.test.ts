/** What is special about nitro-cli: its argument list, its errors, what it answers, how long it takes. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createNitroLauncher } from "../../parent/launcher/nitro.ts";
import { readDescribed, readStarted, readTerminated } from "../../parent/launcher/replies.ts";
import { EXIT_CODES, isToolkitError } from "../../shared/errors/index.ts";
import { verdict } from "../eif/craft.ts";
import { launch, mockImage, nitroLauncher, plainImage, read, scratch } from "./fixture.ts";

describe("what nitro-cli is told", () => {
  test("arguments are a list, the path is absolute, debug mode is named", async () => {
    const { launcher, calls } = await nitroLauncher();
    const image = await plainImage(await scratch());
    await launcher.run(launch({ ...image, eifPath: "-odd name;.eif" }, { cid: 20, debug: true }));
    const [, run] = await calls();
    const path = join(process.cwd(), "-odd name;.eif");
    const sizes = ["--cpu-count", "2", "--memory", "64"];
    expect(run).toEqual(["run-enclave", "--eif-path", path, ...sizes, "--enclave-cid", "20", "--debug-mode"]);
  });

  test("without a context id it chooses one, without debug mode it is not told of it", async () => {
    const { launcher, calls } = await nitroLauncher();
    await launcher.run(launch(await plainImage(await scratch())));
    expect((await calls())[0]).not.toContain("--enclave-cid");
    expect((await calls())[0]).not.toContain("--debug-mode");
  });

  test.each(["emulated", "mock"])("an image for platform %s never reaches it", async (platform) => {
    const { launcher, calls } = await nitroLauncher();
    const folder = await scratch();
    const image =
      platform === "mock" ? await mockImage(folder) : await plainImage(folder, "cloister.platform=emulated");
    expect(await verdict(() => launcher.run(launch(image)))).toMatch(/^ERR_LAUNCHER_IMAGE_PLATFORM/);
    await expect(calls()).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("what nitro-cli measured", () => {
  const zero = "00".repeat(48);

  test("agrees with the file: the enclave goes on", async () => {
    const { launcher, folder } = await nitroLauncher();
    const image = await plainImage(await scratch());
    const { 0: PCR0, 1: PCR1, 2: PCR2 } = image.image.pcrs;
    const measured = { HashAlgorithm: "Sha384 { ... }", PCR0, PCR1, PCR2, PCR8: zero };
    await writeFile(join(folder, "measurements.json"), JSON.stringify(measured));
    const { pcrs } = await launcher.run(launch(image));
    expect(pcrs).toEqual({ ...image.image.pcrs, 8: zero });
    expect((await launcher.list())[0]?.pcrs).toEqual(pcrs);
  });

  test("does not agree: the enclave is terminated", async () => {
    const { launcher, folder } = await nitroLauncher();
    const image = await plainImage(await scratch());
    const measured = { PCR0: image.image.pcrs[0], PCR1: zero, PCR2: image.image.pcrs[2] };
    await writeFile(join(folder, "measurements.json"), JSON.stringify(measured));
    expect(await verdict(() => launcher.run(launch(image)))).toBe("ERR_LAUNCHER_PCR_MISMATCH");
    expect(await launcher.list()).toEqual([]);
  });

  test("an enclave that is not in the mode that was asked for is terminated", async () => {
    const { launcher, behave } = await nitroLauncher();
    await behave({ forgetsDebug: true });
    const image = await plainImage(await scratch());
    expect(await verdict(() => launcher.run(launch(image, { debug: true })))).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    expect(await launcher.list()).toEqual([]);
  });
});

describe("what else nitro-cli keeps", () => {
  const other = {
    EnclaveID: "i-05f6ed443aaaaaaaa-enc173dfe3eb6ceb45f",
    ProcessID: 3077,
    EnclaveCID: 99,
    NumberOfCPUs: 2,
    MemoryMiB: 512,
    State: "EMPTY",
    Flags: "NONE",
  };

  test("an enclave that is empty has exited, and stands in nobody's way", async () => {
    const { launcher, folder } = await nitroLauncher();
    await writeFile(join(folder, "enclaves.json"), JSON.stringify([other]));
    const { enclaveId } = await launcher.run(launch(await plainImage(await scratch())));
    expect((await launcher.list()).map(({ state }) => state)).toEqual(["exited", "running"]);
    await launcher.terminate(enclaveId);
  });

  test("one that can not be read is refused in a list, and stands in no other's way", async () => {
    const { launcher, folder } = await nitroLauncher();
    await writeFile(join(folder, "enclaves.json"), JSON.stringify([{ ...other, State: "MOON" }, 5]));
    const { enclaveId } = await launcher.run(launch(await plainImage(await scratch())));
    expect((await launcher.describe(enclaveId)).state).toBe("running");
    expect(await verdict(() => launcher.describe(other.EnclaveID))).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    expect(await verdict(() => launcher.list())).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    await launcher.terminate(enclaveId);
  });

  test.each([{ error: "E99" }, { stdout: "no json" }])(
    "described as %j: what runs unchecked is terminated",
    async (how) => {
      const { launcher, behave, calls, folder } = await nitroLauncher();
      await behave({ command: "describe-enclaves", ...how });
      const image = await plainImage(await scratch());
      expect(await verdict(() => launcher.run(launch(image)))).toMatch(/^ERR_LAUNCHER_TOOL_/);
      expect((await calls()).map(([command]) => command)).toEqual([
        "run-enclave",
        "describe-enclaves",
        "terminate-enclave",
      ]);
      expect(JSON.parse(await readFile(join(folder, "enclaves.json"), "utf8"))).toEqual([]);
    },
  );
});

describe("a nitro-cli that fails", () => {
  test("is not there: this host lacks it, exit code 6", async () => {
    const launcher = createNitroLauncher({ file: "nitro-cli", env: { PATH: await scratch() } });
    const refusal = await launcher.list().catch((error: unknown) => error);
    if (!isToolkitError(refusal)) throw refusal;
    expect([refusal.code, EXIT_CODES[refusal.kind]]).toEqual(["ERR_LAUNCHER_HOST", 6]);
    expect(refusal.details).toEqual({ needs: "nitro-cli", reason: "ENOENT" });
  });

  test.each([
    [{ error: "E26" }, "ERR_LAUNCHER_TOOL_FAILED", { tool: "nitro-cli run-enclave", reason: "E26" }],
    [{ exit: 7 }, "ERR_LAUNCHER_TOOL_FAILED", { tool: "nitro-cli run-enclave", reason: "exit code 7" }],
    [{ stdout: "no json" }, "ERR_LAUNCHER_TOOL_ANSWER", { tool: "nitro-cli run-enclave" }],
    [{ stdout: "{}" }, "ERR_LAUNCHER_TOOL_ANSWER", { tool: "nitro-cli run-enclave" }],
    [{ stdout: "x".repeat(65_536), times: 17 }, "ERR_LAUNCHER_TOOL_ANSWER", { tool: "nitro-cli run-enclave" }],
  ])("%j gives %s", async (how, code, details) => {
    const { launcher, behave } = await nitroLauncher();
    await behave({ command: "run-enclave", ...how });
    const image = await plainImage(await scratch());
    await expect(launcher.run(launch(image))).rejects.toMatchObject({ code, details });
  });

  test("hangs: it is killed in time, or when it is called off", async () => {
    const slow = await nitroLauncher({ timeoutMs: 300 });
    await slow.behave({ command: "describe-enclaves", hang: true });
    expect(await verdict(() => slow.launcher.list())).toBe("ERR_LAUNCHER_TIMEOUT");
    const patient = await nitroLauncher();
    await patient.behave({ command: "run-enclave", hang: true });
    const image = await plainImage(await scratch());
    const running = patient.launcher.run(launch(image, { signal: AbortSignal.timeout(300) }));
    await expect(running).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test.each([
    [{ command: "describe-enclaves", hang: true }, "ERR_LAUNCHER_TIMEOUT"],
    [{}, "accepted"],
  ])("%j, and leaves a process that holds its output: it is not waited for", async (how, wanted) => {
    const { launcher, behave, folder } = await nitroLauncher({ timeoutMs: 3_000 });
    await behave({ ...how, leaves: true });
    try {
      expect(await verdict(() => launcher.list())).toBe(wanted);
    } finally {
      process.kill(Number(await readFile(join(folder, "left"), "utf8")), "SIGKILL");
    }
  });

  test("a console that stays open ends when its reader leaves, or by a signal", async () => {
    const { launcher, behave } = await nitroLauncher();
    await behave({ console: "stays" });
    const { enclaveId } = await launcher.run(launch(await plainImage(await scratch()), { debug: true }));
    expect(await read(launcher.console(enclaveId), "inside")).toContain("inside");
    const stop = new AbortController();
    for await (const bytes of launcher.console(enclaveId, { signal: stop.signal })) if (bytes.length > 0) stop.abort();
    await behave({ command: "console", error: "E44" });
    await expect(read(launcher.console(enclaveId))).rejects.toMatchObject({
      code: "ERR_LAUNCHER_TOOL_FAILED",
      details: { reason: "E44" },
    });
  });
});

describe("what nitro-cli answers", () => {
  const enclave = {
    EnclaveName: "app",
    EnclaveID: "i-05f6ed443aaaaaaaa-enc173dfe3eb6ceb45f",
    ProcessID: 3077,
    EnclaveCID: 16,
    NumberOfCPUs: 2,
    CPUIDs: [1, 3],
    MemoryMiB: 512,
    State: "RUNNING",
    Flags: "NONE",
  };

  test("of an enclave: with or without the name, in AWS's two spellings of debug mode", () => {
    const [read] = readDescribed(`notice\n${JSON.stringify([enclave], null, 2)}`);
    expect(read).toMatchObject({
      cid: 16,
      cpuCount: 2,
      memoryMiB: 512,
      processId: 3077,
      state: "running",
      debug: false,
    });
    const { EnclaveName: _, ...nameless } = enclave;
    for (const Flags of ["DEBUG_MODE", "Debug"]) {
      expect(readDescribed(JSON.stringify([{ ...nameless, Flags }]))[0]?.debug).toBe(true);
    }
    expect(readDescribed(JSON.stringify([{ ...enclave, State: "TERMINATING" }]))[0]?.state).toBe("terminating");
  });

  test.each([
    ["EnclaveID", 5],
    ["ProcessID", "3077"],
    ["EnclaveCID", -1],
    ["NumberOfCPUs", 1.5],
    ["MemoryMiB", undefined],
    ["State", "MOON"],
    ["State", "constructor"],
    ["Flags", null],
    ["Measurements", "none"],
  ])("%s %j is no answer", async (field, value) => {
    const answer = JSON.stringify([{ ...enclave, [field]: value }]);
    expect(await verdict(() => readDescribed(answer))).toBe("ERR_LAUNCHER_TOOL_ANSWER");
  });

  test("nor is another shape", async () => {
    for (const text of ["", "{}", "[1]", "[", "null"]) {
      expect(await verdict(() => readDescribed(text)), text).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    }
    expect(await verdict(() => readStarted("[]"))).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    for (const changes of [{ Terminated: false }, { EnclaveID: "i-0-enc0" }]) {
      const text = JSON.stringify({ EnclaveID: enclave.EnclaveID, Terminated: true, ...changes });
      expect(await verdict(() => readTerminated(text, enclave.EnclaveID))).toBe("ERR_LAUNCHER_TOOL_ANSWER");
    }
  });
});
