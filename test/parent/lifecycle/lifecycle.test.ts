import { EventEmitter } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type LifecycleEvent, type LifecycleOptions, liveUntilStopped } from "../../../parent/lifecycle.ts";
import { ConfigError } from "../../../shared/errors/index.ts";
import { turns } from "../fixture.ts";

afterEach(() => void vi.useRealTimers());

interface Bed {
  readonly signals: EventEmitter;
  readonly told: string[];
  readonly sent: string[];
  readonly done: Promise<"stopped" | "left">;
  readonly isDone: () => boolean;
}

/** A process that lives, with what it is made of changed. */
function live(changes: Partial<LifecycleOptions> & { readonly watchdogMs?: number } = {}): Bed {
  const { watchdogMs, ...options } = changes;
  const signals = new EventEmitter();
  const told: string[] = [];
  const sent: string[] = [];
  let isOver = false;
  const done = liveUntilStopped({
    signals,
    reload: async () => undefined,
    drain: async () => ({ forced: 0 }),
    close: async () => void told.push("closed"),
    drainMs: () => 30_000,
    isLive: () => true,
    notify: {
      send: (message) => void sent.push(message),
      flush: async () => undefined,
      monotonicUs: () => 7n,
      ...(watchdogMs !== undefined && { watchdogMs }),
    },
    log: ({ event, ...facts }: LifecycleEvent) => void told.push([event, ...Object.values(facts)].join(" ")),
    ...options,
  }).finally(() => {
    isOver = true;
  });
  return { signals, told, sent, done, isDone: () => isOver };
}

function gate<Value>(): { readonly open: (value: Value) => void; readonly opened: Promise<Value> } {
  let open: (value: Value) => void = () => undefined;
  const opened = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe("told to stop", () => {
  test.each(["SIGTERM", "SIGINT"])("R27: %s drains, closes, ends", async (signal) => {
    const deadlines: number[] = [];
    const drained = gate<{ forced: number }>();
    const bed = live({
      drain: (deadlineMs) => {
        deadlines.push(deadlineMs);
        return drained.opened;
      },
    });
    bed.signals.emit(signal, signal);
    await turns(5);
    expect(bed.isDone()).toBe(false);
    drained.open({ forced: 3 });
    await bed.done;
    expect(deadlines).toEqual([30_000]);
    expect(bed.told).toEqual(["ready", `stopping ${signal}`, "closed", "stopped 3"]);
    expect(bed.sent).toEqual(["READY=1", "STOPPING=1"]);
    expect(bed.signals.eventNames()).toEqual([]);
  });

  test("R27: the second signal ends it now, whatever drains", async () => {
    const bed = live({ drain: () => new Promise(() => undefined) });
    bed.signals.emit("SIGTERM", "SIGTERM");
    await turns(5);
    expect(bed.isDone()).toBe(false);
    bed.signals.emit("SIGINT", "SIGINT");
    await bed.done;
    expect(bed.told).toEqual(["ready", "stopping SIGTERM", "stopping-now", "closed", "stopped"]);
  });

  test("what closes, an enclave perhaps, is waited for as long as it takes, and until the third signal", async () => {
    vi.useFakeTimers();
    const bed = live({ close: () => new Promise(() => undefined) });
    bed.signals.emit("SIGTERM", "SIGTERM");
    await vi.advanceTimersByTimeAsync(3_600_000);
    bed.signals.emit("SIGTERM", "SIGTERM");
    await vi.advanceTimersByTimeAsync(1);
    expect(bed.isDone()).toBe(false);
    bed.signals.emit("SIGINT", "SIGINT");
    expect(await bed.done).toBe("left");
    expect(bed.told.at(-1)).toBe("left 0");
  });

  test("what does not close says so: it is not called stopped", async () => {
    const bed = live({ close: () => Promise.reject(new Error("an enclave still runs")) });
    bed.signals.emit("SIGTERM", "SIGTERM");
    await expect(bed.done).rejects.toThrow("an enclave still runs");
    expect(bed.told).toEqual(["ready", "stopping SIGTERM"]);
  });

  test("a second signal does not wait for a reload that hangs", async () => {
    let drains = 0;
    const reading = gate<void>();
    const bed = live({ reload: () => reading.opened, drain: async () => ({ forced: drains++ }) });
    bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    bed.signals.emit("SIGTERM", "SIGTERM");
    await turns(5);
    bed.signals.emit("SIGTERM", "SIGTERM");
    expect(await bed.done).toBe("stopped");
    reading.open();
    await turns(5);
    expect(drains).toBe(0);
  });
});

describe("told to reload", () => {
  const refusal = new ConfigError("ERR_CONFIG_FIELD_INVALID", {
    ...{ field: "egress.allowlist", expected: "some", actual: "none", at: "parent.yaml:4:3" },
  });

  test("R15: a file that is not usable is reported with its place, and the process goes on", async () => {
    const verdicts = [() => Promise.reject(refusal), async () => undefined];
    const bed = live({ reload: () => verdicts.shift()?.() ?? Promise.reject(new Error("asked too often")) });
    bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    expect(bed.told[1]).toMatch(/^reload-refused ERR_CONFIG_FIELD_INVALID parent\.yaml:4:3: /);
    expect(bed.told[2]).toBe("reloaded");
    expect(bed.sent).toEqual([
      "READY=1",
      "RELOADING=1\nMONOTONIC_USEC=7",
      "READY=1",
      "RELOADING=1\nMONOTONIC_USEC=7",
      "READY=1",
    ]);
    bed.signals.emit("SIGTERM", "SIGTERM");
    await bed.done;
  });

  test("R15: what is asked while one runs is one more, however often", async () => {
    const gates = [gate<void>(), gate<void>()];
    let asked = 0;
    const bed = live({ reload: () => gates[asked++]?.opened ?? Promise.reject(new Error("asked too often")) });
    for (let i = 0; i < 5; i++) bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    expect(asked).toBe(1);
    for (const each of gates) each.open();
    await turns(5);
    expect(asked).toBe(2);
    expect(bed.told).toEqual(["ready", "reloaded", "reloaded"]);
  });

  test("an internal error's text stays inside", async () => {
    const bed = live({ reload: () => Promise.reject(new Error("canary")) });
    bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    expect(bed.told[1]).toBe("reload-refused ERR_UNSPECIFIED internal error");
  });

  test("told to stop while it reads: the reading is waited for, then it drains", async () => {
    const reading = gate<void>();
    const order: string[] = [];
    const bed = live({
      reload: () => reading.opened.then(() => void order.push("read")),
      drain: async () => {
        order.push("drained");
        return { forced: 0 };
      },
    });
    bed.signals.emit("SIGHUP", "SIGHUP");
    bed.signals.emit("SIGTERM", "SIGTERM");
    bed.signals.emit("SIGHUP", "SIGHUP");
    await turns(5);
    reading.open();
    await bed.done;
    expect(order).toEqual(["read", "drained"]);
  });
});

describe("watched", () => {
  test("the watchdog is told twice in its time, and not while the process says that it does not live", async () => {
    vi.useFakeTimers();
    let isLive = true;
    const bed = live({ watchdogMs: 10_000, isLive: () => isLive });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(bed.sent).toEqual(["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    isLive = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(bed.sent).toHaveLength(3);
    isLive = true;
    bed.signals.emit("SIGTERM", "SIGTERM");
    await bed.done;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(bed.sent.filter((message) => message === "WATCHDOG=1")).toHaveLength(2);
  });
});

describe("R31: a clock that is set", () => {
  /** Where the time of day is asked for what it is: expiry that others wrote, stamps on lines, certificates. */
  const TELLS_THE_TIME = [
    "parent/credentials/refreshing.ts",
    "parent/launcher/supervisor.ts",
    "parent/observability/delivery.ts",
  ];

  test("no other file of the parent reads the time of day", () => {
    const root = new URL("../../../", import.meta.url);
    const files = readdirSync(new URL("parent", root), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `parent/${name}`);
    expect(files.length).toBeGreaterThan(40);
    const found = files.filter((file) => {
      const text = readFileSync(new URL(file, root), "utf8").replace(/^ *(\/?\*|\/\/).*$/gm, "");
      return /Date\.now\b|new Date\(\)/.test(text);
    });
    expect(found).toEqual(TELLS_THE_TIME);
  });

  test.each([86_400_000, -86_400_000])("by %i ms, the watchdog is neither early nor late", async (jumpMs) => {
    vi.useFakeTimers();
    const bed = live({ watchdogMs: 10_000 });
    await vi.advanceTimersByTimeAsync(4_999);
    vi.setSystemTime(Date.now() + jumpMs);
    expect(bed.sent).toEqual(["READY=1"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(bed.sent).toEqual(["READY=1", "WATCHDOG=1"]);
    bed.signals.emit("SIGTERM", "SIGTERM");
    await bed.done;
  });
});
