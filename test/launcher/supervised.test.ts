/** The processes of an emulated enclave: how they come up, hang, fail and end. */
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { ConsoleSearch, readConsolePart, trimConsole } from "../../mock/launcher/console-file.ts";
import type { ProcessIdentity } from "../../mock/launcher/process-identity.ts";
import { type ProcessSpec, readGuests } from "../../mock/launcher/process-spec.ts";
import { Supervised } from "../../mock/launcher/supervised.ts";
import type { Json } from "../../shared/transport/json.ts";
import { verdict } from "../eif/craft.ts";
import { emulatedLauncher, fakeGuests, guest, isAlive, launch, plainImage, scratch } from "./fixture.ts";

const PATIENT = { timeout: 60_000 };

interface Tried {
  readonly folder: string;
  readonly seen: ProcessIdentity[];
  readonly start: (specs: readonly ProcessSpec[], signal?: AbortSignal) => Promise<Supervised>;
}

async function trying(): Promise<Tried> {
  const folder = await scratch();
  const seen: ProcessIdentity[] = [];
  return {
    folder,
    seen,
    start: (specs, signal = new AbortController().signal) =>
      Supervised.start(specs, { folder, signal, onStarted: (all) => void seen.push(...all.slice(-1)) }),
  };
}

const boots = (folder: string, hangs: number, withinMs = 1_500): ProcessSpec => ({
  ...guest("enclave", "boot", folder, String(hangs)),
  ready: [{ kind: "console", text: "Linux version ", withinMs }],
});

describe("booting", PATIENT, () => {
  test("a boot that hangs in firmware is ended and begun again, and counted", async () => {
    const { folder, seen, start } = await trying();
    const running = await start([boots(folder, 1)]);
    expect(running.retries).toBe(1);
    expect(await readFile(join(folder, "starts"), "utf8")).toBe("..");
    expect(await Promise.all(seen.map(({ pid }) => isAlive(pid)))).toEqual([false, true]);
    expect(running.identities.map(({ pid }) => pid)).toEqual([seen[1]?.pid]);
    await running.end();
    expect(await isAlive(seen[1]?.pid ?? 0)).toBe(false);
  });

  test("three hangs are the end, and nothing is left running", async () => {
    const { folder, seen, start } = await trying();
    const details = { attempts: 3, waitedFor: "Linux version " };
    await expect(start([boots(folder, 9, 300)])).rejects.toMatchObject({ code: "ERR_LAUNCHER_BOOT", details });
    expect(seen.length).toBe(3);
    for (const { pid } of seen) expect(await isAlive(pid)).toBe(false);
  });

  test("a process that ends before it is ready fails at once, with its code", async () => {
    const { folder, start } = await trying();
    const ready = [{ kind: "file", path: join(folder, "never"), withinMs: 600_000 }] as const;
    const details = { tool: "vsock", reason: "exit code 5" };
    const ended = start([{ ...guest("vsock", "exit", "5"), ready }, boots(folder, 0)]);
    await expect(ended).rejects.toMatchObject({ code: "ERR_LAUNCHER_TOOL_FAILED", details });
    expect(await readdir(folder)).toEqual(["vsock.log"]);
  });

  test("a program that is not there: this host lacks it, and what came before is ended", async () => {
    const { folder, seen, start } = await trying();
    const lacking = { name: "enclave", file: "/nonexistent/qemu", args: [] };
    const details = { needs: "/nonexistent/qemu", reason: "ENOENT" };
    await expect(start([boots(folder, 0), lacking])).rejects.toMatchObject({ code: "ERR_LAUNCHER_HOST", details });
    expect(await isAlive(seen[0]?.pid ?? 0)).toBe(false);
  });

  test("called off while it boots: nothing is left", async () => {
    const { folder, seen, start } = await trying();
    const stop = new AbortController();
    const starting = start([boots(folder, 9, 600_000)], stop.signal);
    await expect.poll(() => seen.length, PATIENT).toBe(1);
    stop.abort(new Error("called off"));
    await expect(starting).rejects.toThrow("called off");
    expect(await isAlive(seen[0]?.pid ?? 0)).toBe(false);
  });

  test("processes end in the opposite order, and one that will not is killed", async () => {
    const { seen, start } = await trying();
    const ready = [{ kind: "console", text: "Linux version ", withinMs: 10_000 }] as const;
    const running = await start([
      { ...guest("first", "stubborn"), ready },
      { ...guest("second", "stubborn"), ready },
    ]);
    const [first, second] = seen.map(({ pid }) => pid);
    const ending = running.end();
    await expect.poll(() => isAlive(second ?? 0), PATIENT).toBe(false);
    expect(await isAlive(first ?? 0)).toBe(true);
    await ending;
    expect(await isAlive(first ?? 0)).toBe(false);
  });

  test("the retries stand in the enclave's description; a boot that fails leaves no enclave and no folder", async () => {
    const state = join(await scratch(), "s");
    const image = await plainImage(await scratch());
    const launcher = await emulatedLauncher((made) => fakeGuests(made, { hangs: 1, withinMs: 1_500 }), state);
    expect(await launcher.run(launch(image))).toMatchObject({ bootRetries: 1, state: "running" });
    const failing = await emulatedLauncher((made) => fakeGuests(made, { hangs: 9, withinMs: 200 }), state);
    expect(await verdict(() => failing.run(launch(image)))).toBe("ERR_LAUNCHER_BOOT");
    expect((await failing.list()).length).toBe(1);
    expect((await readdir(join(state, "e"))).length).toBe(1);
  });

  test("a command that is called off takes its boot with it", async () => {
    const state = join(await scratch(), "s");
    // Another enclave runs on, so that the keeper does.
    await (await emulatedLauncher(undefined, state)).run(launch(await plainImage(await scratch())));
    let folder = "";
    const launcher = await emulatedLauncher((made) => {
      ({ folder } = made);
      return fakeGuests(made, { hangs: 9, withinMs: 600_000 });
    }, state);
    const stop = new AbortController();
    const running = launcher.run(launch(await plainImage(await scratch()), { signal: stop.signal }));
    running.catch(() => undefined); // awaited below
    const recorded = async (): Promise<ProcessIdentity[]> =>
      JSON.parse(await readFile(join(state, "processes.json"), "utf8").catch(() => "[]"));
    const says = async (): Promise<string> => readFile(join(folder, "enclave.log"), "utf8").catch(() => "");
    await expect.poll(says, PATIENT).toContain("Booting from ROM");
    const pids = (await recorded()).slice(3).map(({ pid }) => pid);
    expect(pids.length).toBe(2);
    expect(await Promise.all(pids.map(isAlive))).toEqual([true, true]);
    stop.abort(new Error("called off"));
    await expect(running).rejects.toThrow("called off");
    expect(await Promise.all(pids.map(isAlive))).toEqual([false, false]);
    expect((await readdir(join(state, "e"))).length).toBe(1);
    expect((await launcher.list()).length).toBe(1);
  });

  test("a sign of life after much else is seen, and a process that leads no group any more is ended", async () => {
    const { seen, start } = await trying();
    const script = 'process.stdout.write("x".repeat(200_000) + "Linux version 6\\n"); setInterval(() => {}, 1_000);';
    const ready = [{ kind: "console", text: "Linux version ", withinMs: 10_000 }] as const;
    const running = await start([{ name: "enclave", file: process.execPath, args: ["-e", script], ready }]);
    const gone = Object.assign(new Error("no such process"), { code: "ESRCH" });
    const kill = vi.spyOn(process, "kill").mockImplementation(() => {
      throw gone;
    });
    try {
      await running.end();
      expect(kill).toHaveBeenCalled();
    } finally {
      kill.mockRestore();
    }
    expect(await isAlive(seen[0]?.pid ?? 0)).toBe(false);
  });
});

describe("a console", PATIENT, () => {
  test("is emptied when it is too large, and read on from there", async () => {
    const path = join(await scratch(), "console.log");
    expect(await readConsolePart(path, 0)).toEqual({ bytes: new Uint8Array(0), next: 0 });
    await writeFile(path, "x".repeat(100_000));
    const part = await readConsolePart(path, 10);
    expect([part.bytes.length, part.next]).toEqual([65_536, 65_546]);
    await trimConsole(path, 100_000);
    expect((await stat(path)).size).toBe(100_000);
    await trimConsole(path, 99_999);
    expect((await stat(path)).size).toBe(0);
    await writeFile(path, "after", { flag: "a" });
    expect(Buffer.from((await readConsolePart(path, part.next)).bytes).toString()).toBe("after");
  });

  test("is searched to its end, across its parts and after it was emptied", async () => {
    const path = join(await scratch(), "console.log");
    const search = new ConsoleSearch(path, "needle");
    expect(await search.next()).toBe(false);
    await writeFile(path, `${"x".repeat(65_533)}need`);
    expect(await search.next()).toBe(false);
    await writeFile(path, "le", { flag: "a" });
    expect(await search.next()).toBe(true);
    const other = new ConsoleSearch(path, "lost");
    expect(await other.next()).toBe(false);
    await writeFile(path, "all is lost");
    expect(await other.next()).toBe(true);
  });

  test("of a guest that writes without end does not grow without end", async () => {
    const { folder, start } = await trying();
    const running = await start([guest("enclave", "flood")]);
    const path = join(folder, "enclave.log");
    let largest = 0;
    await expect
      .poll(
        async () => {
          const { size } = await stat(path);
          largest = Math.max(largest, size);
          return size < largest;
        },
        { timeout: 60_000, interval: 20 },
      )
      .toBe(true);
    await running.end();
  });
});

test("guests that come from elsewhere are checked", () => {
  const good = {
    enclave: "e",
    attestationRoot: "",
    enclaveId: "i",
    folder: "/f",
    peer: null,
    processes: [{ name: "e" }],
  };
  expect(readGuests(good as Json).folder).toBe("/f");
  for (const changes of [{ enclave: "x" }, { folder: 1 }, { processes: {} }, { attestationRoot: null }]) {
    expect(() => readGuests({ ...good, ...changes } as Json)).toThrow(TypeError);
  }
  expect(() => readGuests(null)).toThrow(TypeError);
});
