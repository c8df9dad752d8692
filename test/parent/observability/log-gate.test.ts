/** How many log records pass, by sender and in all; with a clock that the test moves. */
import { describe, expect, test } from "vitest";
import { LogGate, type LogLimits } from "../../../parent/observability/log-gate.ts";
import type { LogRecord } from "../../../parent/observability/log-record.ts";
import { TokenBucket } from "../../../parent/observability/rate.ts";
import type { Json } from "../../../shared/transport/json.ts";

const body: Json = { level: "info", event: "e" };

function bed(limits: LogLimits = {}) {
  const records: LogRecord[] = [];
  const clock = { ms: 0 };
  const gate = new LogGate((record) => void records.push(record), { limits, now: () => clock.ms });
  const send = (sender: ReturnType<LogGate["sender"]>, count: number, what: Json = body): void => {
    for (let i = 0; i < count; i++) gate.take(sender, what);
  };
  return { records, clock, gate, send };
}

describe("the gate of the log", () => {
  test("one sender that floods leaves the others their share", () => {
    const { gate, send, records } = bed();
    send(gate.sender(16), 10_000);
    send(gate.sender(17), 10);
    expect(records.filter(({ cid }) => cid === 16)).toHaveLength(1_000);
    expect(records.filter(({ cid }) => cid === 17)).toHaveLength(10);
    expect(gate.counts()).toEqual({ accepted: 1_010, dropped: { shape: 0, rate: 9_000, sink: 0 } });
  });

  test("an enclave does not get more by opening more connections, or by coming back", () => {
    const { gate, send, records } = bed();
    for (let i = 0; i < 20; i++) send(gate.sender(16), 1_000);
    expect(records.filter(({ event }) => event === "e")).toHaveLength(1_000);
  });

  test("where the transport knows no sender, each connection is one", () => {
    const { gate, send, records } = bed();
    send(gate.sender(undefined), 1_001);
    send(gate.sender(undefined), 1_001);
    expect(records).toHaveLength(2_000);
    expect(records[0]).not.toHaveProperty("cid");
  });

  test("all together have a limit too, in records", () => {
    const { gate, send, records } = bed();
    for (let cid = 16; cid < 32; cid++) send(gate.sender(cid), 1_000);
    expect(records).toHaveLength(4_000);
  });

  test("and in bytes", () => {
    const { gate, send, records } = bed({ totalBytes: { burst: 10_000, perSecond: 1_000 } });
    const sender = gate.sender(16);
    send(sender, 10, { level: "info", event: "e", fields: { text: "x".repeat(2_000) } });
    expect(records).toHaveLength(4);
    expect(gate.counts().dropped.rate).toBe(6);
  });

  test("what is malformed costs its sender as much as what is not", () => {
    const { gate, send, clock } = bed();
    const sender = gate.sender(16);
    send(sender, 1_001, "no record");
    expect(gate.counts().dropped).toEqual({ shape: 1_000, rate: 1, sink: 0 });
    clock.ms = 1_000;
    send(sender, 201);
    expect(gate.counts().accepted).toBe(200);
  });

  test("a sender that goes is told what was dropped, once", () => {
    const { gate, send, records } = bed();
    const sender = gate.sender(16);
    send(sender, 1_003);
    gate.tell(sender);
    gate.tell(sender);
    expect(records.slice(1_000)).toEqual([
      {
        level: "warn",
        event: "log records dropped by the parent",
        fields: { count: 3 },
        truncated: false,
        cid: 16,
      },
    ]);
  });

  test("a sink that throws ends nothing, and is counted", () => {
    const gate = new LogGate(
      () => {
        throw new Error("sink");
      },
      { now: () => 0 },
    );
    gate.take(gate.sender(16), body);
    expect(gate.counts()).toEqual({ accepted: 1, dropped: { shape: 0, rate: 0, sink: 1 } });
  });

  test("senders are remembered in a bounded number", () => {
    const { gate, send, records } = bed({ total: { burst: 1e6, perSecond: 1e6 } });
    send(gate.sender(1), 1_000);
    for (let cid = 2; cid <= 256; cid++) gate.sender(cid);
    send(gate.sender(1), 1);
    expect(records).toHaveLength(1_000);
    for (let cid = 300; cid <= 555; cid++) gate.sender(cid);
    send(gate.sender(1), 1);
    expect(records).toHaveLength(1_001);
  });
});

describe("a token bucket", () => {
  test("R31: a clock that steps back gives nothing and takes nothing", () => {
    let ms = 10_000;
    const bucket = new TokenBucket({ burst: 1, perSecond: 1 }, () => ms);
    bucket.take(1);
    ms = 0;
    expect(bucket.has(1)).toBe(false);
    ms = 999;
    expect(bucket.has(1)).toBe(false);
    ms = 1_000;
    expect(bucket.has(1)).toBe(true);
  });

  test("what is larger than the bucket passes when it is full, and empties it for longer", () => {
    let ms = 0;
    const bucket = new TokenBucket({ burst: 10, perSecond: 10 }, () => ms);
    expect(bucket.has(25)).toBe(true);
    bucket.take(25);
    ms = 2_400;
    expect(bucket.has(10)).toBe(false);
    ms = 2_500;
    expect(bucket.has(10)).toBe(true);
  });

  test.each([
    { burst: 0, perSecond: 1 },
    { burst: 1, perSecond: 0 },
    { burst: Number.NaN, perSecond: 1 },
  ])("%j is a mistake", (limit) => {
    expect(() => new TokenBucket(limit, () => 0)).toThrow(RangeError);
  });
});
