import type { Duplex } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { createLog } from "../../../enclave/egress/log.ts";
import { escapeControls, type LogRecord, sanitizeLogEvent } from "../../../parent/observability/log-record.ts";
import { startLogSink } from "../../../parent/observability/log-sink.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { openChannel } from "../../../shared/transport/channel.ts";
import { encodeFrame } from "../../../shared/transport/frame.ts";
import type { Json } from "../../../shared/transport/json.ts";
import { LOG_PORT } from "../../../shared/transport/ports.ts";
import type { Transport } from "../../../shared/transport/transport.ts";
import { closed } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport, turns, until } from "../fixture.ts";

describe("log", () => {
  interface Sink {
    readonly parent: Peer;
    readonly records: LogRecord[];
    clock: number;
  }
  async function sink(parent: Peer = freshPeer()): Promise<Sink> {
    const under: Sink = { parent, records: [], clock: 0 };
    const service = await startLogSink({
      transport,
      address: addressOf(parent, LOG_PORT),
      sink: (record) => void under.records.push(record),
      log: () => {},
      monotonicMs: () => under.clock,
    });
    cleanups.push(() => service.close());
    return under;
  }

  test("events arrive in order, with their fields", async () => {
    const under = await sink();
    const log = createLog({ transport, parent: under.parent });
    log.write("info", "started", { pcr0: "ab12", attempts: 2, warm: true, none: null });
    log.write("error", "failed");
    await log.close();
    expect(under.records).toEqual([
      {
        level: "info",
        event: "started",
        fields: { pcr0: "ab12", attempts: 2, warm: true, none: null },
        truncated: false,
      },
      { level: "error", event: "failed", fields: {}, truncated: false },
    ]);
    expect(log.dropped).toBe(0);
  });

  test("a record says which enclave sent it, where the transport knows", async () => {
    const records: LogRecord[] = [];
    const parent = freshPeer();
    // A double of vsock: Unix sockets whose caller has a context id.
    const vsock: Transport = {
      connect: transport.connect,
      listen: (address, onConnection, options) =>
        transport.listen(address, (socket) => onConnection(socket, { cid: 16 }), options),
    };
    const service = await startLogSink({
      transport: vsock,
      address: addressOf(parent, LOG_PORT),
      sink: (record) => void records.push(record),
      log: () => {},
    });
    cleanups.push(() => service.close());
    const log = createLog({ transport, parent });
    log.write("info", "started");
    await log.close();
    await until(() => service.stats().open === 0);
    expect(records).toEqual([{ level: "info", event: "started", fields: {}, truncated: false, cid: 16 }]);
    expect(service.records()).toEqual({ accepted: 1, dropped: { shape: 0, rate: 0, sink: 0 } });
    expect(service.stats().bytesFromEnclave).toBeGreaterThan(20);
  });

  test("R29: what would act on a terminal or a viewer is shown instead", async () => {
    const under = await sink();
    const log = createLog({ transport, parent: under.parent });
    log.write("info", "line\nforged", { "na\rme": "\u001b[2J\u202Eevil\u2028\u0000\u009b", html: "<script>" });
    await log.close();
    expect(under.records[0]).toEqual({
      level: "info",
      event: "line\\u{a}forged",
      fields: { "na\\u{d}me": "\\u{1b}[2J\\u{202e}evil\\u{2028}\\u{0}\\u{9b}", html: "<script>" },
      truncated: false,
    });
    expect(escapeControls("\ud800x\ufeff grüße 漢 🙂")).toBe("\\u{d800}x\\u{feff} grüße 漢 🙂");
  });

  test.each<[string, Json, unknown]>([
    ["no level", { event: "e" }, undefined],
    ["another level", { level: "fatal", event: "e" }, undefined],
    ["no event", { level: "info" }, undefined],
    ["an event that is no text", { level: "info", event: {} }, undefined],
    ["a list", ["info", "e"], undefined],
    ["fields that are a list", { level: "info", event: "e", fields: [1] }, undefined],
    [
      "a nested field",
      { level: "info", event: "e", fields: { a: { b: 1 }, c: 1 } },
      { fields: { c: 1 }, truncated: true },
    ],
    ["text of 2 048", { level: "info", event: "e", fields: { a: "x".repeat(2_048) } }, { truncated: false }],
    [
      "text of 2 049",
      { level: "info", event: "e", fields: { a: "x".repeat(2_049) } },
      { fields: { a: "x".repeat(2_048) }, truncated: true },
    ],
    [
      "33 fields",
      { level: "info", event: "e", fields: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`f${i}`, i])) },
      { truncated: true },
    ],
  ])("a record of %s", (_, body, wanted) => {
    const record = sanitizeLogEvent(body);
    expect(Object.keys(record?.fields ?? {}).length).toBeLessThanOrEqual(32);
    if (wanted === undefined) expect(record).toBeUndefined();
    else expect(record).toMatchObject(wanted as object);
  });

  test("rate: 1 000 at once, 200 a second after that, and the number of what was dropped", async () => {
    const under = await sink();
    const channel = openChannel(await transport.connect(addressOf(under.parent, LOG_PORT)), { peer: "parent" });
    cleanups.push(() => channel.close());
    const write = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        if (!channel.event("log", { level: "info", event: "e" })) await channel.drained();
      }
    };
    await write(1_500);
    await until(() => under.records.length === 1_000);
    await turns(50);
    expect(under.records).toHaveLength(1_000);
    under.clock = 1_000;
    await write(300);
    await until(() => under.records.length >= 1_201);
    await turns(50);
    expect(under.records).toHaveLength(1_201);
    expect(under.records[1_000]).toMatchObject({ level: "warn", fields: { count: 500 } });
  });

  test("writing never throws: cycles, big integers, hostile getters, `__proto__`", async () => {
    const under = await sink();
    const log = createLog({ transport, parent: under.parent });
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    const getter = Object.defineProperty({}, "x", {
      enumerable: true,
      get() {
        throw new Error("hostile");
      },
    });
    for (const fields of [cycle, { x: 1n }, getter, JSON.parse('{"__proto__":1}'), { x: "y".repeat(40_000) }]) {
      log.write("info", "e", fields as Record<string, string>);
    }
    log.write("info", "after");
    await log.close();
    log.write("info", "after close");
    expect(log.dropped).toBe(6);
    expect(under.records.map(({ event, fields }) => [event, fields])).toEqual([
      ["log events dropped", { count: 5 }],
      ["after", {}],
    ]);
  });

  test("a parent that does not read: a bounded number waits, the rest is counted, nothing blocks", async () => {
    const parent = freshPeer();
    const accepted: Duplex[] = [];
    const listener = await transport.listen(addressOf(parent, LOG_PORT), (socket) => void accepted.push(socket));
    cleanups.push(() => listener.close());
    const log = createLog({ transport, parent });
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 1_000; i++) log.write("info", "e", { x: "y".repeat(1_000) });
      await new Promise(setImmediate);
    }
    expect(log.dropped).toBeGreaterThan(45_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1_048_576);
    for (const socket of accepted) socket.destroy();
    await log.close();
  });

  test("a parent that is not there yet is tried again after a second", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const parent = freshPeer();
    const log = createLog({ transport, parent });
    log.write("info", "early");
    await turns(50);
    const under = await sink(parent);
    await turns(50);
    expect(under.records).toHaveLength(0);
    vi.advanceTimersByTime(1_000);
    await until(() => under.records.length === 1);
    vi.useRealTimers();
    await log.close();
    expect(log.dropped).toBe(0);
  });

  test("a frame beyond 64 KiB ends that connection and no other", async () => {
    const under = await sink();
    const socket = await transport.connect(addressOf(under.parent, LOG_PORT));
    const body = { name: "log", body: "x".repeat(70_000) };
    socket.write(encodeFrame({ type: "event", id: 0, body }));
    await closed(socket.resume().on("end", () => socket.end()));
    const log = createLog({ transport, parent: under.parent });
    log.write("info", "still here");
    await log.close();
    expect(under.records).toHaveLength(1);
  });
});
