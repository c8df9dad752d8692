/** Readiness, hooks that fail, stopping at every moment, and never two enclaves at once. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { whenConnectable } from "../../../parent/launcher/readiness.ts";
import { TransportError } from "../../../shared/errors/transport.ts";
import type { EnclaveDescription } from "../../../shared/launcher.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { APP_PORT } from "../../../shared/transport/ports.ts";
import { createTransport } from "../../../transport/create.ts";
import { scratch } from "../../launcher/fixture.ts";
import { codeOf } from "../../transport/streams.ts";
import { images, keep, toolFailed, turns } from "./fixture.ts";

let app: Awaited<ReturnType<typeof images>>["app"];
beforeAll(async () => {
  ({ app } = await images());
});

const never = (): Promise<void> => new Promise(() => undefined);

describe("readiness", () => {
  test("clients are sent when it is ready, not when it runs", async () => {
    let done: () => void = () => undefined;
    const ready = (): Promise<void> => new Promise((resolve) => (done = resolve));
    const kept = keep(app, { ready });
    await kept.supervisor.start();
    await kept.clock.advance(5_000);
    expect(kept.told).toEqual(["started 16"]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "starting", enclave: { cid: 16 } });
    done();
    await turns();
    expect(kept.told).toEqual(["started 16", "up 16"]);
  });

  test("one that is not ready in time is terminated, and that is a failure", async () => {
    let signal: AbortSignal | undefined;
    const ready = (_: unknown, given: AbortSignal): Promise<void> => {
      signal = given;
      return never();
    };
    const kept = keep(app, { ready, readyTimeoutMs: 3_000 });
    await kept.supervisor.start();
    await kept.clock.advance(2_999);
    expect(signal?.aborted).toBe(false);
    await kept.clock.advance(1);
    expect(signal?.aborted).toBe(true);
    const details = { enclaveId: "i-0-enc0", reason: "ERR_LAUNCHER_TIMEOUT" };
    const error = { code: "ERR_LAUNCHER_NOT_READY", details };
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", failures: 1, error });
    expect(kept.told).toEqual(["started 16", "down 16 ERR_LAUNCHER_NOT_READY"]);
    const codes = { code: "ERR_LAUNCHER_NOT_READY", cause: "ERR_LAUNCHER_TIMEOUT" };
    for (const name of ["down", "waiting"]) {
      expect(kept.events.find(({ event }) => event === name)).toMatchObject(codes);
    }
    expect(kept.launcher.enclaves).toEqual([]);
  });

  test("one that ends while it is waited for is not waited for any more", async () => {
    const kept = keep(app, { ready: never });
    await kept.supervisor.start();
    await kept.clock.advance(10);
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(1_000);
    expect(kept.told).toEqual(["started 16", "down 16 ERR_LAUNCHER_ENDED"]);
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", error: { code: "ERR_LAUNCHER_ENDED" } });
  });

  test("one that ends while a hook is busy is not taken into service", async () => {
    let done: () => void = () => undefined;
    const onStarted = (): Promise<void> =>
      new Promise((resolve) => {
        done = resolve;
      });
    const kept = keep(app, { onStarted });
    await kept.supervisor.start();
    await turns();
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(1_000);
    done();
    await turns();
    expect(kept.told).toEqual(["down 16 ERR_LAUNCHER_ENDED"]);
  });

  test.each(["onStarted", "onUp"] as const)("%s that throws: the enclave was not taken into service", async (hook) => {
    const fault = Object.assign(new Error("no"), { code: "EADDRINUSE" });
    const throws = (): void => {
      throw fault;
    };
    const kept = keep(app, { [hook]: throws });
    await kept.supervisor.start();
    await turns();
    const error = { code: "ERR_LAUNCHER_NOT_READY", details: { reason: "EADDRINUSE" }, cause: fault };
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", error });
    expect(kept.launcher.enclaves).toEqual([]);
  });

  test("a host on which it can not be reached: one is started, none after it, and the log says why", async () => {
    const fault = new TransportError("ERR_TRANSPORT_UNSUPPORTED", {
      address: "vsock://16:8080",
      reason: "EAFNOSUPPORT",
    });
    const transport = { ...createTransport(), connect: () => Promise.reject(fault) };
    const kept = keep(app, { ready: whenConnectable({ transport }) });
    await kept.supervisor.start();
    await kept.clock.advance(100_000);
    expect(kept.supervisor.state()).toEqual({ kind: "refused", error: fault });
    expect([kept.launcher.launches.length, kept.launcher.enclaves]).toEqual([1, []]);
    expect(kept.told).toEqual(["started 16", "down 16 ERR_TRANSPORT_UNSUPPORTED"]);
    expect(kept.events.at(-1)).toEqual({ event: "refused", code: "ERR_TRANSPORT_UNSUPPORTED" });
  });

  test.each(["ERR_TRANSPORT_HYBRID_INVALID", "ERR_TRANSPORT_PEER_MISMATCH"] as const)(
    "%s is what one enclave's peer said: the next one is tried",
    async (code) => {
      const fault = new TransportError(code, { address: "", rule: "", actual: "" });
      const kept = keep(app, { ready: () => Promise.reject(fault) });
      await kept.supervisor.start();
      await turns();
      expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", error: { code: "ERR_LAUNCHER_NOT_READY" } });
    },
  );

  test("onDown that throws is told of, with what led to it, and the next one starts", async () => {
    const cause = Object.assign(new Error("no"), { code: "EPIPE" });
    const onDown = (): Promise<void> => Promise.reject(new Error("no", { cause }));
    const kept = keep(app, { onDown });
    await kept.supervisor.start();
    await turns();
    kept.launcher.exit("i-0-enc0");
    await kept.clock.advance(2_000);
    const told = { event: "hook-failed", enclaveId: "i-0-enc0", code: "ERR_UNSPECIFIED", cause: "EPIPE" };
    expect(kept.events).toContainEqual(told);
    expect(kept.supervisor.state()).toMatchObject({ kind: "up", enclave: { cid: 17 } });
  });

  test("whenConnectable resolves when the application listens, and not before", async () => {
    const folder = await scratch();
    const transport = createTransport();
    const enclave = { peer: { kind: "unix", folder } } as EnclaveDescription;
    const ready = whenConnectable({ transport, retryMs: 1 });
    let isReady = false;
    const waiting = ready(enclave, new AbortController().signal).then(() => (isReady = true));
    await turns(100);
    expect(isReady).toBe(false);
    await using _listener = await transport.listen(addressOf(enclave.peer, APP_PORT), (socket) => void socket.resume());
    await waiting;
    const stop = new AbortController();
    const elsewhere = { peer: { kind: "unix", folder: join(folder, "no") } } as EnclaveDescription;
    const given = expect(ready(elsewhere, stop.signal)).rejects.toThrow("called off");
    await turns();
    stop.abort(new Error("called off"));
    await given;
    const tooLong = { peer: { kind: "unix", folder: "/x".repeat(100) } } as EnclaveDescription;
    expect(await codeOf(ready(tooLong, new AbortController().signal))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });
});

describe("stopping", () => {
  test("ends what runs, tells first, and leaves nothing that waits", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    await turns();
    const running: number[] = [];
    const { supervisor, launcher, clock } = kept;
    await supervisor.stop();
    running.push(launcher.running.length);
    expect([running, supervisor.state().kind, clock.pending]).toEqual([[0], "stopped", 0]);
    expect(kept.told.at(-1)).toBe("down 16 stopped");
    expect(kept.names().slice(-2)).toEqual(["down", "stopped"]);
    await clock.advance(100_000);
    expect(launcher.launches.length).toBe(1);
  });

  test.each([
    ["while it boots", (kept) => void (kept.launcher.holdRun = never()), []],
    ["while it is waited for", () => undefined, ["started 16", "down 16 stopped"]],
    ["while it waits after a failure", (kept) => void kept.launcher.faults.run.push(toolFailed()), []],
  ] as [string, (kept: ReturnType<typeof keep>) => void, string[]][])("%s", async (_, before, told) => {
    const kept = keep(app, { ready: never });
    before(kept);
    await kept.supervisor.start();
    await turns();
    await kept.supervisor.stop();
    expect(kept.supervisor.state().kind).toBe("stopped");
    expect([kept.launcher.enclaves, kept.told, kept.clock.pending]).toEqual([[], told, 0]);
  });

  test("while the image is read: nothing is started", async () => {
    const kept = keep(app);
    const starting = expect(kept.supervisor.start()).rejects.toMatchObject({ name: "AbortError" });
    await kept.supervisor.stop();
    await starting;
    expect([kept.launcher.calls, kept.supervisor.state().kind]).toEqual([[], "stopped"]);
  });

  test("twice, before a start, and by leaving a block: the same", async () => {
    const kept = keep(app);
    await kept.supervisor.stop();
    {
      await using supervisor = kept.supervisor;
      await supervisor.start();
      await turns();
    }
    await Promise.all([kept.supervisor.stop(), kept.supervisor.stop()]);
    expect(kept.launcher.calls.filter((call) => call.startsWith("terminate"))).toEqual(["terminate i-0-enc0"]);
    await kept.supervisor.start();
    await turns();
    expect(kept.supervisor.state().kind).toBe("up");
  });

  test("one that asks to stop is heard while another releases", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    await turns();
    await Promise.all([kept.supervisor.release(), kept.supervisor.stop()]);
    expect(kept.launcher.enclaves).toEqual([]);
  });

  test("an enclave that can not be terminated is said to be so, and the next stop tries again", async () => {
    const kept = keep(app);
    await kept.supervisor.start();
    await turns();
    kept.launcher.faults.terminate = [toolFailed(), toolFailed(), toolFailed()];
    const refused = expect(kept.supervisor.stop()).rejects.toMatchObject({ code: "ERR_LAUNCHER_TOOL_FAILED" });
    await kept.clock.advance(2_000);
    await refused;
    expect(kept.launcher.running.length).toBe(1);
    await kept.supervisor.stop();
    expect(kept.launcher.running.length).toBe(0);
  });

  test("no second enclave is started beside one that could not be terminated", async () => {
    const kept = keep(app, { ready: never, readyTimeoutMs: 1_000 });
    await kept.supervisor.start();
    kept.launcher.faults.terminate = Array.from({ length: 7 }, toolFailed);
    await kept.clock.advance(1_000 + 1_000);
    expect(kept.supervisor.state()).toMatchObject({ kind: "waiting", error: { code: "ERR_LAUNCHER_TOOL_FAILED" } });
    await kept.clock.advance(3_000);
    expect(kept.launcher.launches.length).toBe(1);
    await kept.clock.advance(20_000);
    expect(kept.launcher.launches.length).toBeGreaterThan(2);
    expect(kept.launcher.most).toBe(1);
    // Our own remains are ended, never adopted.
    expect(kept.names()).not.toContain("adopted");
  });
});
