/** What every `Launcher` does, run against each implementation. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EnclaveDescription, Launcher } from "../../shared/launcher.ts";
import { verdict } from "../eif/craft.ts";
import { launch, read, type TestImage } from "./fixture.ts";

export interface LauncherUnderTest {
  readonly launcher: Launcher;
  readonly image: TestImage;
  /** An image that this platform refuses. */
  readonly foreign: TestImage;
  readonly trust: EnclaveDescription["trust"];
}

// A loaded machine takes its time to start a process.
const PATIENT = { timeout: 60_000 };

export function describeLauncher(name: string, open: () => Promise<LauncherUnderTest>): void {
  describe(`Launcher: ${name}`, PATIENT, () => {
    let image: TestImage;
    let opened: LauncherUnderTest;
    let launcher: Launcher;

    beforeEach(async () => {
      opened = await open();
      ({ launcher, image } = opened);
    });
    afterEach(async () => {
      for (const { enclaveId } of await launcher.list()) await launcher.terminate(enclaveId);
    });

    test("runs an image and describes what runs, the same way each time it is asked", async () => {
      const enclave = await launcher.run(launch(image, { cpuCount: 3, memoryMiB: 96 }));
      expect(enclave).toMatchObject({
        platform: launcher.platform,
        trust: opened.trust,
        state: "running",
        cpuCount: 3,
        memoryMiB: 96,
        debug: false,
        pcrs: image.image.pcrs,
        bootRetries: 0,
      });
      expect(enclave.enclaveId).toMatch(/^i-[0-9a-f]+-enc[0-9a-f]+$/);
      expect(enclave.cid).toBeGreaterThanOrEqual(16);
      expect(enclave.processIds.length).toBeGreaterThan(0);
      expect(Math.abs(Date.now() - Date.parse(enclave.startedAt ?? ""))).toBeLessThan(86_400_000 * 3_650);
      expect(enclave.attestationRoot === null).toBe(opened.trust === "aws");
      const { pcrs: _, ...rest } = enclave;
      expect(await launcher.list()).toMatchObject([rest]);
      expect(await launcher.describe(enclave.enclaveId)).toMatchObject(rest);
      expect(JSON.parse(JSON.stringify(enclave))).toEqual(enclave);
    });

    test("an empty host has no enclaves", async () => {
      expect(await launcher.list()).toEqual([]);
    });

    test("two enclaves have two context ids; one that was asked for is given, once", async () => {
      const first = await launcher.run(launch(image));
      const second = await launcher.run(launch(image));
      const third = await launcher.run(launch(image, { cid: 77 }));
      expect(new Set([first.cid, second.cid, third.cid]).size).toBe(3);
      expect(third.cid).toBe(77);
      expect(await verdict(() => launcher.run(launch(image, { cid: 77 })))).toMatch(/^ERR_LAUNCHER_CID_TAKEN/);
      expect((await launcher.list()).length).toBe(3);
    });

    test.each([0, 1, 2, 3, -1, 4.5, 0xffff_ffff, Number.NaN])("context id %d is refused", async (cid) => {
      expect(await verdict(() => launcher.run(launch(image, { cid })))).toBe("ERR_CONFIG_FIELD_INVALID cid");
    });

    test("less memory than the image needs, and no processor, are refused", async () => {
      expect(await verdict(() => launcher.run(launch(image, { memoryMiB: 63 })))).toMatch(/^ERR_LAUNCHER_MEMORY/);
      expect(await verdict(() => launcher.run(launch(image, { memoryMiB: 1.5 })))).toMatch(/^ERR_CONFIG_FIELD_INVALID/);
      expect(await verdict(() => launcher.run(launch(image, { cpuCount: 0 })))).toMatch(/^ERR_CONFIG_FIELD_INVALID/);
      const large = { ...image, image: { ...image.image, sizeBytes: 16 * 1024 * 1024 + 1 } };
      expect(await verdict(() => launcher.run(launch(large, { memoryMiB: 64 })))).toMatch(/^ERR_LAUNCHER_MEMORY/);
      expect(await launcher.list()).toEqual([]);
    });

    test("an image of another platform is refused", async () => {
      expect(await verdict(() => launcher.run(launch(opened.foreign)))).toMatch(/^ERR_LAUNCHER_IMAGE_PLATFORM/);
    });

    test.each(["i-0123456789abcdef0-enc00", "", "--all", "i-0-enc0; id", "../../etc"])(
      "id %j names no enclave",
      async (id) => {
        await launcher.run(launch(image));
        for (const ask of [
          () => launcher.describe(id),
          () => launcher.terminate(id),
          () => read(launcher.console(id)),
        ]) {
          expect(await verdict(ask)).toMatch(/^ERR_LAUNCHER_ENCLAVE_UNKNOWN/);
        }
        expect((await launcher.list()).length).toBe(1);
      },
    );

    test("the console is open in debug mode only", async () => {
      const open = await launcher.run(launch(image, { debug: true }));
      expect(open.debug).toBe(true);
      await expect.poll(() => read(launcher.console(open.enclaveId), "inside"), PATIENT).toContain("inside");
      const closed = await launcher.run(launch(image));
      expect(await verdict(() => read(launcher.console(closed.enclaveId)))).toMatch(/^ERR_LAUNCHER_NO_CONSOLE/);
    });

    test("terminating ends it, once, and its context id is free", async () => {
      const { enclaveId } = await launcher.run(launch(image, { cid: 42 }));
      await launcher.terminate(enclaveId);
      expect(await launcher.list()).toEqual([]);
      expect(await verdict(() => launcher.terminate(enclaveId))).toMatch(/^ERR_LAUNCHER_ENCLAVE_UNKNOWN/);
      expect((await launcher.run(launch(image, { cid: 42 }))).cid).toBe(42);
    });

    test("a run that is called off before it starts starts nothing", async () => {
      const signal = AbortSignal.abort(new Error("called off"));
      await expect(launcher.run(launch(image, { signal }))).rejects.toThrow("called off");
      expect(await launcher.list()).toEqual([]);
    });
  });
}
