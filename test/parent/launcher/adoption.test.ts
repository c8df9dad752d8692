/** An enclave that still runs when the parent starts anew: whose it is, and whether it is what should run. */
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createEnclaveRecord } from "../../../parent/launcher/record.ts";
import { imageFactsOf } from "../../../shared/image-facts.ts";
import type { EnclaveDescription } from "../../../shared/launcher.ts";
import { scratch } from "../../launcher/fixture.ts";
import { images, keep, LAUNCH, MemoryLauncher, memoryRecord, toolFailed, turns } from "./fixture.ts";

let app: Awaited<ReturnType<typeof images>>["app"];
beforeAll(async () => {
  ({ app } = await images());
});

describe("adoption", () => {
  test("what a process released is adopted by the next, with no second start", async () => {
    const launcher = new MemoryLauncher();
    const record = memoryRecord();
    const first = keep(app, { launcher, record });
    await first.supervisor.start();
    await turns();
    await first.supervisor.release();
    expect(first.told).toEqual(["started 16", "up 16", "down 16 released"]);
    expect([launcher.running.length, record.value]).toEqual([1, "i-0-enc0"]);
    const next = keep(app, { launcher, record });
    await next.supervisor.start();
    await turns();
    expect(next.supervisor.state()).toMatchObject({ kind: "up", isAdopted: true, enclave: { cid: 16 } });
    expect(next.names()).toEqual(["adopted", "up"]);
    expect([next.told, next.supervisor.starts(), launcher.launches.length]).toEqual([["started 16", "up 16"], 0, 1]);
    await next.supervisor.stop();
    expect([launcher.running.length, record.value]).toEqual([0, undefined]);
  });

  test.each<[string, Partial<EnclaveDescription>]>([
    ["another PCR0", { pcrs: { 0: "00", 1: "", 2: "" } }],
    ["no measurements", { pcrs: {} }],
    ["debug mode", { debug: true }],
    ["another context id", { cid: 99 }],
    ["ended", { state: "exited" }],
  ])("one with %s is ours and not what should run: it is terminated, and another one started", async (_, changes) => {
    const launcher = new MemoryLauncher();
    const { enclaveId } = launcher.add({ pcrs: imageFactsOf(app).pcrs, cid: 20, ...changes });
    const launch = { ...LAUNCH, cid: 20 };
    const kept = keep(app, { launcher, launch, record: memoryRecord(enclaveId) });
    await kept.supervisor.start();
    await turns();
    expect(launcher.calls.slice(0, 3)).toEqual(["describe", `terminate ${enclaveId}`, "run"]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", isAdopted: false });
  });

  test("the same with nothing changed is adopted", async () => {
    const launcher = new MemoryLauncher();
    const { enclaveId } = launcher.add({ pcrs: { ...imageFactsOf(app).pcrs, 8: "00" }, cid: 20 });
    const launch = { ...LAUNCH, cid: 20 };
    const kept = keep(app, { launcher, launch, record: memoryRecord(enclaveId) });
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", isAdopted: true });
  });

  test("an enclave of the same image that nobody wrote down is another's, and is not touched", async () => {
    const launcher = new MemoryLauncher();
    const other = launcher.add({ pcrs: imageFactsOf(app).pcrs });
    for (const record of [undefined, memoryRecord(), memoryRecord("i-0-enc77")]) {
      const kept = keep(app, { launcher, ...(record && { record }) });
      await kept.supervisor.start();
      await turns();
      expect(kept.supervisor.state()).toMatchObject({ kind: "up", isAdopted: false });
      await kept.supervisor.stop();
    }
    expect(launcher.running).toEqual([other]);
  });

  test("a launcher that can not be asked at first does not cost a running enclave its life", async () => {
    const launcher = new MemoryLauncher();
    const { enclaveId } = launcher.add({ pcrs: imageFactsOf(app).pcrs });
    launcher.faults.describe = [toolFailed()];
    const kept = keep(app, { launcher, record: memoryRecord(enclaveId) });
    await kept.supervisor.start();
    await kept.clock.advance(1_500);
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", isAdopted: true });
    expect(launcher.launches).toEqual([]);
  });

  test("a record that can not be written is told of, and the enclave serves", async () => {
    const record = {
      hold: async () => async () => undefined,
      read: async () => undefined,
      write: () => Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" })),
    };
    const kept = keep(app, { record });
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state().kind).toBe("up");
    expect(kept.events).toContainEqual({ event: "unrecorded", code: "ENOSPC", enclaveId: "i-0-enc0" });
  });
});

describe("a record in a file", () => {
  test("gives what was written, from the next process too, and goes with the enclave", async () => {
    const folder = join(await scratch(), "state");
    const record = createEnclaveRecord({ folder, name: "app" });
    expect(await record.read()).toBeUndefined();
    await record.write("i-0123-encabcd");
    expect(await createEnclaveRecord({ folder, name: "app" }).read()).toBe("i-0123-encabcd");
    expect(await createEnclaveRecord({ folder, name: "other" }).read()).toBeUndefined();
    expect([(await stat(folder)).mode & 0o777, await readdir(folder)]).toEqual([0o700, ["app.enclave"]]);
    expect(await readFile(join(folder, "app.enclave"), "utf8")).toBe("i-0123-encabcd\n");
    await record.write(undefined);
    expect([await record.read(), await readdir(folder)]).toEqual([undefined, []]);
  });

  test("that is broken names no enclave; one that can not be read is an error", async () => {
    const folder = await scratch();
    const record = createEnclaveRecord({ folder, name: "app" });
    for (const text of ["", "--all", "i-0-enc0; id", "i-0-enc0\ni-0-enc1", "../../x"]) {
      await writeFile(join(folder, "app.enclave"), text);
      expect(await record.read()).toBeUndefined();
    }
    const inTheWay = createEnclaveRecord({ folder: join(folder, "app.enclave"), name: "app" });
    await expect(inTheWay.read()).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  test.each(["", "../x", "a/b", "a b", "x".repeat(65)])("%j is no name", (name) => {
    expect(() => createEnclaveRecord({ folder: "/nonexistent", name })).toThrow(TypeError);
  });
});
