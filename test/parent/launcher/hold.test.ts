/** Two parents and one context id: the second is refused, and nothing of the first's is touched. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { superviseEnclave } from "../../../cli/commands/parent-enclave.ts";
import type { RunEnclave } from "../../../parent/config/parent-config.ts";
import { createEnclaveRecord } from "../../../parent/launcher/record.ts";
import type { Supervisor } from "../../../parent/launcher/supervision.ts";
import { createTransport } from "../../../transport/create.ts";
import { verdict } from "../../eif/craft.ts";
import { plainImage, scratch } from "../../launcher/fixture.ts";
import { bundle } from "../bundle.ts";
import { expecting, images, keep, MemoryLauncher, memoryRecord, toolFailed, turns } from "./fixture.ts";

let { app, other }: Awaited<ReturnType<typeof images>> = {} as never;
beforeAll(async () => {
  ({ app, other } = await images());
});

const NAME = "nitro-cid-16";
const children: ChildProcess[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A process of its own that holds the record. */
async function holder(folder: string): Promise<ChildProcess> {
  const script = join(folder, "holder.mjs");
  await bundle(
    `import { createEnclaveRecord } from "./parent/launcher/record.ts";
     await createEnclaveRecord({ folder: process.argv[2], name: "${NAME}" }).hold();
     console.log("held");
     setInterval(() => undefined, 1_000);`,
    script,
  );
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await once(child.stdout, "data");
  return child;
}

describe("a record that is held", () => {
  test("by a process that runs is refused to others, by name and number; its end sets it free, however it ends", async () => {
    const folder = await scratch();
    const record = createEnclaveRecord({ folder, name: NAME });
    const child = await holder(folder);
    const refusal = { code: "ERR_LAUNCHER_KEPT", details: { name: NAME, pid: child.pid } };
    await expect(record.hold()).rejects.toMatchObject(refusal);
    await expect(record.hold()).rejects.toMatchObject(refusal);
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    const letGo = await record.hold();
    // What the dead one left is gone, what the refused ones tried too.
    expect((await readdir(folder)).filter((name) => name.startsWith(NAME)).length).toBe(1);
    await letGo();
    expect((await readdir(folder)).filter((name) => name.startsWith(NAME))).toEqual([]);
  });

  test("is one process's own matter too: the second in it waits for the first to let go", async () => {
    const place = { folder: join(await scratch(), "new"), name: "app" };
    const letGo = await createEnclaveRecord(place).hold();
    const details = { name: "app", pid: process.pid };
    await expect(createEnclaveRecord(place).hold()).rejects.toMatchObject({ code: "ERR_LAUNCHER_KEPT", details });
    await (await createEnclaveRecord({ ...place, name: "app2" }).hold())();
    await letGo();
    await (await createEnclaveRecord(place).hold())();
    await letGo();
  });

  test("a number that came again is another process, which keeps nobody out", async () => {
    const folder = await scratch();
    const record = createEnclaveRecord({ folder, name: "app" });
    await record.hold();
    const [mine = ""] = await readdir(folder);
    const [name, held, pid, ticks, random] = mine.split(".");
    expect([name, pid]).toEqual(["app", String(process.pid)]);
    await rename(join(folder, mine), join(folder, [name, held, pid, Number(ticks) + 1, random].join(".")));
    await (await record.hold())();
    expect(await readdir(folder)).toEqual([]);
  });

  test("of many that ask at once one has it at most, and one gets it in the end", async () => {
    const record = createEnclaveRecord({ folder: await scratch(), name: "app" });
    let [holding, most, served] = [0, 0, 0];
    const ask = async (): Promise<void> => {
      for (;;) {
        const letGo = await record.hold().catch(() => undefined);
        if (letGo === undefined) continue;
        most = Math.max(most, ++holding);
        await turns(5);
        holding--;
        served++;
        return letGo();
      }
    };
    await Promise.all([ask(), ask(), ask(), ask()]);
    expect([most, served]).toEqual([1, 4]);
  });

  test("in a folder that takes no file is refused, and says why", async () => {
    const folder = join(await scratch(), "file");
    await writeFile(folder, "");
    const refused = createEnclaveRecord({ folder, name: "app" }).hold();
    await expect(refused).rejects.toMatchObject({ code: "ERR_LAUNCHER_STATE_FOLDER", details: { path: folder } });
  });
});

describe("a supervisor", () => {
  test("that is refused the record asks the launcher for nothing, neither then nor when it is stopped", async () => {
    const launcher = new MemoryLauncher();
    const place = { folder: await scratch(), name: NAME };
    const first = keep(app, { launcher, record: createEnclaveRecord(place) });
    await first.supervisor.start();
    await vi.waitFor(() => expect(first.supervisor.state().kind).toBe("up"));
    const calls = [...launcher.calls];
    const second = keep(other, { launcher, record: createEnclaveRecord(place) });
    await expect(second.supervisor.start()).rejects.toMatchObject({ code: "ERR_LAUNCHER_KEPT" });
    expect(second.supervisor.state()).toMatchObject({ kind: "refused" });
    await second.supervisor.stop();
    expect([launcher.calls, launcher.running.length]).toEqual([calls, 1]);
    await first.supervisor.release();
    await second.supervisor.start();
    await vi.waitFor(() => expect(second.supervisor.state().kind).toBe("up"));
    expect(launcher.most).toBe(1);
  });

  test.each(["stop", "release"] as const)("holds its record until %s is over, also after it gave up", async (how) => {
    const record = memoryRecord();
    const kept = keep(app, { record, backoff: { maxFailures: 1 } });
    kept.launcher.faults.run = [toolFailed()];
    await kept.supervisor.start();
    await turns();
    expect([kept.supervisor.state().kind, record.holders]).toEqual(["failed", 1]);
    await kept.supervisor.start();
    await turns();
    expect([kept.supervisor.state().kind, record.holders]).toEqual(["up", 1]);
    await kept.supervisor[how]();
    expect(record.holders).toBe(0);
  });

  test("that could not terminate its enclave holds on", async () => {
    const record = memoryRecord();
    const kept = keep(app, { record });
    await kept.supervisor.start();
    await turns();
    kept.launcher.faults.terminate = [toolFailed(), toolFailed(), toolFailed()];
    const refused = expect(kept.supervisor.stop()).rejects.toMatchObject({ code: "ERR_LAUNCHER_TOOL_FAILED" });
    await kept.clock.advance(2_000);
    await refused;
    expect(record.holders).toBe(1);
    await kept.supervisor.stop();
    expect(record.holders).toBe(0);
  });

  test("that gave up beside an enclave that it could not terminate holds on, whatever a start comes to", async () => {
    const record = memoryRecord();
    const ready = (): Promise<void> => Promise.reject(new Error("no"));
    const kept = keep(app, { record, ready, expected: expecting(app), backoff: { maxFailures: 1 } });
    kept.launcher.faults.terminate = [toolFailed(), toolFailed(), toolFailed()];
    await kept.supervisor.start();
    await kept.clock.advance(2_000);
    expect([kept.supervisor.state().kind, kept.launcher.running.length]).toEqual(["failed", 1]);
    kept.disk.file = other;
    expect(await verdict(() => kept.supervisor.start())).toMatch(/^ERR_EIF_MEASUREMENT/);
    expect(record.holders).toBe(1);
    await kept.supervisor.stop();
    expect([kept.launcher.running.length, record.holders]).toEqual([0, 0]);
  });

  test("whose image is refused, or that is stopped while it starts, holds nothing", async () => {
    const record = memoryRecord();
    const refused = keep(other, { record, expected: expecting(app) });
    expect(await verdict(() => refused.supervisor.start())).toMatch(/^ERR_EIF_MEASUREMENT/);
    expect(record.holders).toBe(0);
    const stopped = keep(app, { record });
    const starting = expect(stopped.supervisor.start()).rejects.toMatchObject({ name: "AbortError" });
    await stopped.supervisor.stop();
    expect(record.holders).toBe(0);
    await starting;
    expect(stopped.launcher.calls).toEqual([]);
  });
});

describe("two parents of one configuration", () => {
  // Its enclaves run and are never ready, so that what is written of them stays.
  const transport = { ...createTransport(), connect: () => new Promise<never>(() => undefined) };
  const settings = { transport, tell: () => undefined, log: () => undefined };
  const supervisors: Supervisor[] = [];
  afterEach(async () => {
    for (const supervisor of supervisors.splice(0)) await supervisor.stop().catch(() => undefined);
  });

  /** A host with a stand-in for nitro-cli in PATH; gives its parents' enclave. */
  async function host(): Promise<RunEnclave & { readonly home: string }> {
    const [home, bin] = [await scratch(), join(await scratch(), "bin")];
    const fake = fileURLToPath(new URL("../../launcher/fake-nitro-cli.mjs", import.meta.url));
    await mkdir(bin);
    await writeFile(join(bin, "nitro-cli"), `#!/bin/sh\nFAKE_NITRO_FOLDER=${home} exec ${fake} "$@"\n`);
    await chmod(join(bin, "nitro-cli"), 0o755);
    vi.stubEnv("PATH", [bin, dirname(process.execPath), "/usr/bin", "/bin"].join(delimiter));
    vi.stubEnv("XDG_RUNTIME_DIR", home);
    const { eifPath } = await plainImage(home);
    return {
      ...{ home, kind: "run", platform: "nitro", image: eifPath, measurements: undefined, mockRoot: undefined },
      ...{ cpus: 2, memoryMiB: 64, cid: 16, port: 8_080, maxFailures: 1, onExit: "terminate" },
    };
  }

  const parent = async (enclave: RunEnclave): Promise<Supervisor> => {
    const supervisor = await superviseEnclave(enclave, settings);
    supervisors.push(supervisor);
    return supervisor;
  };

  test("the second is refused; one for another context id, or another platform, is not", async () => {
    const enclave = await host();
    await (await parent(enclave)).start();
    const details = { name: NAME, pid: process.pid };
    await expect((await parent(enclave)).start()).rejects.toMatchObject({ code: "ERR_LAUNCHER_KEPT", details });
    await (await parent({ ...enclave, cid: 17 })).start();
    // Refused for what the image is, after it had its record.
    const mock = await parent({ ...enclave, platform: "mock" });
    await expect(mock.start()).rejects.toMatchObject({ code: "ERR_LAUNCHER_IMAGE_PLATFORM" });
    const files = join(enclave.home, "cloister/parent");
    await vi.waitFor(async () => {
      expect((await readdir(files)).filter((name) => name.endsWith(".enclave"))).toEqual([
        "nitro-cid-16.enclave",
        "nitro-cid-17.enclave",
      ]);
    });
  });
});
