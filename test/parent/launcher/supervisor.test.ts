/** Keeping one enclave running: what is started, when again, and when no more. */
import { beforeAll, describe, expect, test } from "vitest";
import { LauncherError } from "../../../shared/errors/launcher.ts";
import { imageFactsOf } from "../../../shared/image-facts.ts";
import { verdict } from "../../eif/craft.ts";
import { expecting, images, keep, LAUNCH, toolFailed, turns } from "./fixture.ts";

let { app, other, plain }: Awaited<ReturnType<typeof images>> = {} as never;
beforeAll(async () => {
  ({ app, other, plain } = await images());
});

describe("before the start", () => {
  test("memory is sized from the image where nobody says", async () => {
    const [kernel, ...rest] = app.sections;
    if (!kernel) throw new Error("an image has sections");
    // Only the end of the last section says how large it is.
    const large = { ...app, sections: [...rest, { ...kernel, offset: 20 * 1024 * 1024 - 12 - kernel.size }] };
    for (const [file, memoryMiB] of [
      [app, 64],
      [large, 80],
    ] as const) {
      const kept = keep(file);
      await kept.supervisor.start();
      await turns();
      expect(kept.launcher.launches).toMatchObject([{ memoryMiB, image: imageFactsOf(file) }]);
    }
  });

  test("too little memory is refused with how much it needs, and nothing was started", async () => {
    const kept = keep(app, { launch: { ...LAUNCH, memoryMiB: 63 } });
    const details = { minimumMiB: 64, memoryMiB: 63 };
    await expect(kept.supervisor.start()).rejects.toMatchObject({ code: "ERR_LAUNCHER_MEMORY", details });
    expect(kept.launcher.calls).toEqual([]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "refused", error: { code: "ERR_LAUNCHER_MEMORY" } });
  });

  test.each(["pcr0", "pcr1", "pcr2"] as const)("an image with another %s is not started", async (register) => {
    const expected = { measurements: { ...app.measurements, [register]: new Uint8Array(48).fill(7) } };
    const kept = keep(app, { expected });
    const details = { index: Number(register.slice(3)), expected: "07".repeat(48) };
    await expect(kept.supervisor.start()).rejects.toMatchObject({ code: "ERR_EIF_MEASUREMENT", details });
    expect(kept.launcher.calls).toEqual([]);
    expect(kept.names()).toEqual(["refused"]);
  });

  test("the expected image is; one that must be signed and is not, is not", async () => {
    const expected = expecting(app);
    const kept = keep(app, { expected });
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state().kind).toBe("up");
    const signed = { measurements: { ...expected.measurements, pcr8: new Uint8Array(48) } };
    expect(await verdict(() => keep(app, { expected: signed }).supervisor.start())).toMatch(/^ERR_EIF_MEASUREMENT/);
  });

  test("another platform's image, and a file that is not there, are refused", async () => {
    expect(await verdict(() => keep(plain).supervisor.start())).toMatch(/^ERR_LAUNCHER_IMAGE_PLATFORM/);
    const kept = keep(app);
    kept.disk.file = undefined;
    expect(await verdict(() => kept.supervisor.start())).toMatch(/^ERR_EIF_FILE/);
    expect(kept.launcher.calls).toEqual([]);
  });

  test("it keeps one at a time; a refused start can be tried again", async () => {
    const kept = keep(other, { expected: expecting(app) });
    expect(await verdict(() => kept.supervisor.start())).toMatch(/^ERR_EIF_MEASUREMENT/);
    kept.disk.file = app;
    await kept.supervisor.start();
    await expect(kept.supervisor.start()).rejects.toThrow(TypeError);
  });

  test.each([
    { baseMs: -1 },
    { maxMs: Number.NaN },
    { stableMs: Number.POSITIVE_INFINITY },
    { maxFailures: 0 },
    { maxFailures: 1.5 },
  ])("%j is no back-off", (backoff) => {
    expect(() => keep(app, { backoff })).toThrow(RangeError);
  });
});

describe("an enclave that ends", () => {
  test("R26: is followed by another with another context id, of which the services are told in order", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", enclave: { cid: 16 }, isAdopted: false });
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(1_000);
    expect(kept.told).toEqual(["started 16", "up 16", "down 16 ERR_LAUNCHER_ENDED"]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", failures: 1, delayMs: 999 });
    // What is left of it is cleared away, so that its memory is free for the next.
    expect(kept.launcher.enclaves).toEqual([]);
    await kept.clock.advance(999);
    expect(kept.told.slice(3)).toEqual(["started 17", "up 17"]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", enclave: { cid: 17 } });
    expect(kept.supervisor.starts()).toBe(2);
  });

  test.each(["exit", "vanish"] as const)(
    "by %s is found at the next look, and a sign of it brings that forward",
    async (how) => {
      const kept = keep(app, { pollMs: 60_000 });
      await kept.supervisor.start();
      await kept.clock.advance(100);
      kept.launcher[how]("i-0-enc0");
      await kept.clock.advance(50);
      expect(kept.supervisor.state().kind).toBe("up");
      kept.supervisor.look();
      await turns();
      expect(kept.supervisor.state()).toMatchObject({ kind: "waiting" });
      expect(kept.events.find(({ event }) => event === "down")).toMatchObject({
        code: "ERR_LAUNCHER_ENDED",
        upMs: 150,
      });
    },
  );

  test("a sign that comes just after the launcher was asked is not lost", async () => {
    const kept = keep(app, { pollMs: 60_000 });
    await kept.supervisor.start();
    await kept.clock.advance(10);
    kept.launcher.exit("i-0-enc0");
    kept.supervisor.look();
    await kept.clock.advance(39);
    expect(kept.supervisor.state().kind).toBe("up");
    await kept.clock.advance(1);
    expect(kept.supervisor.state().kind).toBe("waiting");
  });

  test("a thousand signs do not ask the launcher a thousand times", async () => {
    const kept = keep(app, { pollMs: 60_000 });
    await kept.supervisor.start();
    for (let at = 0; at < 1_000; at++) {
      kept.supervisor.look();
      await kept.clock.advance(1);
    }
    const asked = kept.launcher.calls.filter((call) => call === "describe").length;
    expect(asked).toBeGreaterThan(15);
    expect(asked).toBeLessThanOrEqual(20);
  });

  test("waits are doubled up to the longest, and begin anew after a stable time", async () => {
    const kept = keep(app, { backoff: { baseMs: 1_000, maxMs: 3_000, stableMs: 5_000, maxFailures: 9 } });
    await kept.supervisor.start();
    const delays = (): readonly unknown[] =>
      kept.events.flatMap(({ delayMs }) => (delayMs === undefined ? [] : [delayMs]));
    for (let round = 1; round <= 4; round++) {
      await kept.clock.advance(10);
      kept.launcher.exit(kept.launcher.running[0]?.enclaveId ?? "");
      await kept.clock.advance(1_000);
      await kept.clock.advance(3_000);
    }
    expect(delays()).toEqual([999, 1_999, 2_999, 2_999]);
    await kept.clock.advance(5_000);
    kept.launcher.exit(kept.launcher.running[0]?.enclaveId ?? "");
    await kept.clock.advance(1_000);
    expect(delays().slice(4)).toEqual([999]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", failures: 1 });
  });

  test("after too many failures in a row it gives up and says so; a start begins anew", async () => {
    const kept = keep(app);
    kept.launcher.faults.run = Array.from({ length: 5 }, toolFailed);
    await kept.supervisor.start();
    await kept.clock.advance(60_000);
    const state = { kind: "failed", failures: 5, error: { code: "ERR_LAUNCHER_TOOL_FAILED" } };
    expect(kept.supervisor.state()).toMatchObject(state);
    expect(kept.launcher.calls).toEqual(["run", "run", "run", "run", "run"]);
    expect(kept.events.at(-1)).toEqual({ event: "failed", code: "ERR_LAUNCHER_TOOL_FAILED", failures: 5 });
    expect(kept.clock.pending).toBe(0);
    kept.launcher.faults.run = [toolFailed()];
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", failures: 1 });
    await kept.clock.advance(1_000);
    expect(kept.supervisor.state().kind).toBe("up");
  });

  test("without a limit it never gives up", async () => {
    const kept = keep(app, { backoff: { baseMs: 1, maxMs: 1, maxFailures: "unlimited" } });
    kept.launcher.faults.run = Array.from({ length: 200 }, toolFailed);
    await kept.supervisor.start();
    await kept.clock.advance(1_000);
    expect(kept.supervisor.state().kind).toBe("up");
  });

  test("an image that was replaced meanwhile is not started", async () => {
    const kept = keep(app, { expected: expecting(app) });
    await kept.supervisor.start();
    await turns();
    kept.disk.file = other;
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(5_000);
    await expect
      .poll(() => kept.supervisor.state())
      .toMatchObject({ kind: "refused", error: { code: "ERR_EIF_MEASUREMENT" } });
    expect(kept.launcher.launches.length).toBe(1);
  });

  test("an image that is away for a moment is waited for", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    await turns();
    kept.disk.file = undefined;
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(2_000);
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", failures: 2, error: { code: "ERR_EIF_FILE" } });
    kept.disk.file = app;
    await kept.clock.advance(2_000);
    expect(kept.supervisor.state().kind).toBe("up");
  });

  test("a launcher that can not be asked says nothing about the enclave", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    kept.launcher.faults.describe = [toolFailed(), new Error("odd")];
    await kept.clock.advance(3_000);
    expect(kept.supervisor.state().kind).toBe("up");
    const unwatched = kept.events.filter(({ event }) => event === "unwatched").map(({ code }) => code);
    expect(unwatched).toEqual(["ERR_LAUNCHER_TOOL_FAILED", "ERR_UNSPECIFIED"]);
    expect(kept.launcher.launches.length).toBe(1);
  });

  test.each([
    [new LauncherError("ERR_LAUNCHER_HOST", { needs: "nitro-cli", reason: "ENOENT" }), "refused"],
    [new TypeError("a mistake"), "refused"],
    [new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid: 16 }), "waiting"],
    [new LauncherError("ERR_LAUNCHER_BOOT", { attempts: 3, waitedFor: "a line" }), "waiting"],
    [Object.assign(new Error("full"), { code: "ENOSPC" }), "waiting"],
    ["no error at all", "waiting"],
  ])("a run that fails with %s: %s", async (fault, kind) => {
    const kept = keep(app);
    kept.launcher.faults.run = [fault];
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state().kind).toBe(kind);
  });
});
