/** Enclaves that outlive commands: who crashed, who came first, whose folder it is. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { READY_TIMEOUT_MS, SETTLE_TIMEOUT_MS } from "../../mock/launcher/kept.ts";
import { identify, isRunning, killRecorded } from "../../mock/launcher/process-identity.ts";
import { LOCK_TIMEOUT_MS, openStateFolder, withLock } from "../../mock/launcher/state-folder.ts";
import { verdict } from "../eif/craft.ts";
import { emulatedLauncher, isAlive, launch, mockImage, mockLauncher, plainImage, read, scratch } from "./fixture.ts";

const PATIENT = { timeout: 60_000 };
const bystanders: ChildProcess[] = [];
afterEach(() => {
  for (const bystander of bystanders.splice(0)) bystander.kill("SIGKILL");
});

/** A process that is none of the launcher's. */
async function bystander(): Promise<number> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" });
  bystanders.push(child);
  await once(child, "spawn");
  return child.pid ?? 0;
}

async function recorded(folder: string): Promise<{ pid: number; ticks: number }[]> {
  return JSON.parse(await readFile(join(folder, "processes.json"), "utf8"));
}

describe("a keeper", PATIENT, () => {
  test("keeps enclaves for other commands, and goes with the last", async () => {
    const folder = join(await scratch(), "s");
    const image = await mockImage(await scratch());
    const { enclaveId, processIds, peer } = await (await mockLauncher(folder)).run(launch(image));
    const other = await mockLauncher(folder);
    expect((await other.describe(enclaveId)).processIds).toEqual(processIds);
    expect(peer).toEqual({ kind: "unix", folder: join(folder, "v/16") });
    const [keeper] = await recorded(folder);
    await other.terminate(enclaveId);
    for (const pid of [keeper?.pid ?? 0, ...processIds]) await expect.poll(() => isAlive(pid), PATIENT).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  test("an enclave that ended by itself is listed as such until it is terminated", async () => {
    const launcher = await mockLauncher();
    const { enclaveId } = await launcher.run(launch(await mockImage(await scratch(), "process.exit(3);")));
    await expect.poll(async () => (await launcher.describe(enclaveId)).state, PATIENT).toBe("exited");
    await launcher.terminate(enclaveId);
  });

  test.each(["mock", "emulated"] as const)(
    "killed with its %s enclaves running: they are ended, nobody else",
    async (platform) => {
      const folder = join(await scratch(), "s");
      const files = await scratch();
      const launcher = platform === "mock" ? await mockLauncher(folder) : await emulatedLauncher(undefined, folder);
      const image = platform === "mock" ? await mockImage(files) : await plainImage(files);
      const { enclaveId, processIds } = await launcher.run(launch(image));
      const [keeper, ...rest] = await recorded(folder);
      expect(rest.map(({ pid }) => pid)).toEqual(processIds);
      // A number that has come again: its process started at another time.
      const innocent = await bystander();
      const forged = [keeper, ...rest, { pid: innocent, ticks: 1 }, { pid: 1, ticks: 1 }, { pid: -1, ticks: 1 }, null];
      await writeFile(join(folder, "processes.json"), JSON.stringify(forged));
      process.kill(keeper?.pid ?? 0, "SIGKILL");
      await expect.poll(() => isAlive(keeper?.pid ?? 0), PATIENT).toBe(false);
      expect(await isAlive(processIds[0] ?? 0)).toBe(true);
      // Who looks ends nothing.
      expect(await launcher.list()).toEqual([]);
      expect(await verdict(() => launcher.describe(enclaveId))).toMatch(/^ERR_LAUNCHER_ENCLAVE_UNKNOWN/);
      expect(await isAlive(processIds[0] ?? 0)).toBe(true);
      expect(await verdict(() => launcher.terminate(enclaveId))).toMatch(/^ERR_LAUNCHER_ENCLAVE_UNKNOWN/);
      for (const pid of processIds) expect(await isAlive(pid)).toBe(false);
      expect(await isAlive(innocent)).toBe(true);
      expect(await readdir(folder)).toEqual([]);
      expect((await launcher.run(launch(image))).cid).toBe(16);
    },
  );

  test("that runs without its socket is refused, not ended, nor are its enclaves", async () => {
    const folder = join(await scratch(), "s");
    const launcher = await mockLauncher(folder);
    const image = await mockImage(await scratch());
    const { enclaveId, processIds } = await launcher.run(launch(image));
    const [keeper] = await recorded(folder);
    await rm(join(folder, "control.sock"));
    const asked = [
      () => launcher.list(),
      () => read(launcher.console(enclaveId)),
      () => launcher.terminate(enclaveId),
      () => launcher.run(launch(image)),
    ];
    const answers = await Promise.all(asked.map((ask) => verdict(ask)));
    for (const answer of answers) expect(answer).toMatch(/^ERR_LAUNCHER_TOOL_FAILED/);
    for (const pid of [keeper?.pid ?? 0, ...processIds]) expect(await isAlive(pid)).toBe(true);
    process.kill(keeper?.pid ?? 0, "SIGTERM");
    for (const pid of [keeper?.pid ?? 0, ...processIds]) await expect.poll(() => isAlive(pid), PATIENT).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  test("a mock enclave that is called off while it starts does not come about", async () => {
    const folder = join(await scratch(), "s");
    const launcher = await mockLauncher(folder);
    const image = await mockImage(await scratch());
    await launcher.run(launch(image));
    const stop = new AbortController();
    const running = launcher.run(launch(image, { cid: 40, signal: stop.signal }));
    const refused = expect(running).rejects.toThrow("called off");
    const starts = async (): Promise<boolean> => (await readdir(join(folder, "v"))).includes("40");
    await expect.poll(starts, { timeout: 60_000, interval: 5 }).toBe(true);
    stop.abort(new Error("called off"));
    await refused;
    expect((await launcher.list()).map(({ cid }) => cid)).toEqual([16]);
    expect((await launcher.run(launch(image, { cid: 40 }))).state).toBe("running");
  });

  test("a broken record ends nobody and stops nobody", async () => {
    const folder = join(await scratch(), "s");
    await openStateFolder(folder);
    await writeFile(join(folder, "processes.json"), '[{"pid":');
    const launcher = await mockLauncher(folder);
    expect(await launcher.list()).toEqual([]);
    expect((await launcher.run(launch(await mockImage(await scratch())))).state).toBe("running");
  });

  test("launchers that start at the same moment share one, and get a context id each", async () => {
    const folder = join(await scratch(), "s");
    const image = await mockImage(await scratch());
    const launchers = await Promise.all([1, 2, 3, 4].map(() => mockLauncher(folder)));
    const enclaves = await Promise.all(launchers.map((launcher) => launcher.run(launch(image))));
    expect(enclaves.map(({ cid }) => cid).sort()).toEqual([16, 17, 18, 19]);
    expect(new Set(enclaves.map(({ attestationRoot }) => attestationRoot)).size).toBe(1);
    const same = await Promise.all(
      launchers.map((launcher) => verdict(() => launcher.run(launch(image, { cid: 50 })))),
    );
    expect(same.sort()).toEqual([
      "ERR_LAUNCHER_CID_TAKEN",
      "ERR_LAUNCHER_CID_TAKEN",
      "ERR_LAUNCHER_CID_TAKEN",
      "accepted",
    ]);
  });

  test("a file that is not the image that was read is not run", async () => {
    const launcher = await mockLauncher();
    const image = await mockImage(await scratch());
    const other = await mockImage(await scratch(), "process.exit(0)");
    const swapped = launch({ ...image, eifPath: other.eifPath });
    expect(await verdict(() => launcher.run(swapped))).toBe("ERR_LAUNCHER_PCR_MISMATCH");
    expect(await launcher.list()).toEqual([]);
    const none = launch({ ...image, eifPath: "/nonexistent.eif" });
    expect(await verdict(() => launcher.run(none))).toMatch(/^ERR_EIF_FILE/);
  });

  test("the console of a guest is followed until the guest ends", async () => {
    const launcher = await emulatedLauncher();
    const { enclaveId, processIds } = await launcher.run(launch(await plainImage(await scratch()), { debug: true }));
    const console = read(launcher.console(enclaveId));
    process.kill(processIds[1] ?? 0, "SIGKILL");
    expect(await console).toContain("Linux version 6.12\ninside\n");
    expect((await launcher.describe(enclaveId)).state).toBe("exited");
  });
});

describe("the lock", () => {
  test("one at a time, and each gets its turn", async () => {
    const folder = await scratch();
    let inside = 0;
    let turns = 0;
    const work = async (): Promise<void> => {
      expect(++inside).toBe(1);
      await new Promise(setImmediate);
      inside--;
      turns++;
    };
    await Promise.all([1, 2, 3, 4, 5].map(() => withLock(folder, work)));
    expect(turns).toBe(5);
    expect(await readdir(folder)).toEqual([]);
  });

  test("of a process that died is no lock; of one that lives it is, until the time is over", async () => {
    const folder = await scratch();
    const pid = await bystander();
    const { ticks } = await identify(pid);
    const name = (started: number): string => join(folder, `lock.${pid}.${started}.0123456789abcdef`);
    await writeFile(name((ticks ?? 0) + 1), "");
    expect(await withLock(folder, async () => "mine")).toBe("mine");
    expect(await readdir(folder)).toEqual([]);
    await writeFile(name(ticks ?? 0), "");
    expect(await verdict(() => withLock(folder, async () => "mine", 100))).toBe("ERR_LAUNCHER_LOCKED");
    expect((await readdir(folder)).length).toBe(1);
  });

  test("is waited for longer than its holder may take", () => {
    expect(LOCK_TIMEOUT_MS).toBeGreaterThan(SETTLE_TIMEOUT_MS + READY_TIMEOUT_MS);
  });

  test("is given back when the work fails", async () => {
    const folder = await scratch();
    await expect(withLock(folder, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("a process that was written down", () => {
  test("is itself only with the time it started at, and only then ended", async () => {
    const pid = await bystander();
    const identity = await identify(pid);
    expect(identity.ticks).toBeGreaterThan(0);
    expect(await isRunning(identity)).toBe(true);
    const later = { pid, ticks: (identity.ticks ?? 0) + 1 };
    expect(await isRunning(later)).toBe(false);
    for (const other of [later, { pid, ticks: null }]) await killRecorded(other, 100);
    expect(await isAlive(pid)).toBe(true);
    await killRecorded(identity, 10_000);
    expect(await isAlive(pid)).toBe(false);
    await killRecorded(identity, 100);
  });
});
