import type { Duplex } from "node:stream";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Connection } from "../../../parent/listening/connection.ts";
import { type CidListeningService, listenService, type ServiceOptions } from "../../../parent/listening/service.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { codeOf } from "../../transport/streams.ts";
import { turns, until } from "../fixture.ts";
import { type Driver, driver } from "./driver.ts";

interface Bed extends Driver {
  readonly service: CidListeningService;
  readonly events: ParentEvent[];
  readonly served: Connection[];
  /** Ends the connection that was served as number `index`. */
  finish(index: number): Promise<void>;
}

async function bed(options: Partial<ServiceOptions> = {}): Promise<Bed> {
  const made = driver();
  const events: ParentEvent[] = [];
  const served: Connection[] = [];
  const service = await listenService({
    service: "egress",
    transport: made.transport,
    address: made.address,
    log: (event) => void events.push(event),
    maxConnections: 2,
    serve: async (connection) => {
      served.push(connection);
      await new Promise<void>((resolve) => connection.socket.once("close", () => resolve()));
      return "served";
    },
    ...options,
  });
  const finish = async (index: number): Promise<void> => {
    const connection = served[index];
    connection?.socket.destroy();
    await until(() => events.some((one) => one.event === "closed" && one.connectionId === connection?.id));
  };
  return { ...made, service, events, served, finish };
}

const names = ({ events }: Bed, id: string): string[] =>
  events.filter(({ connectionId }) => connectionId === id).map(({ event }) => event);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

describe("places", () => {
  test("R23: a connection too many waits for a place, unread, and gets it", async () => {
    const under = await bed();
    under.arrive();
    under.arrive();
    const third = under.arrive();
    third.write("early");
    await turns(3);
    expect([under.served.length, under.service.stats().open]).toEqual([2, 2]);
    await under.finish(0);
    expect(under.served.map(({ id }) => id)).toEqual(["egress-1", "egress-2", "egress-3"]);
    expect(String(under.served[2]?.socket.read())).toBe("early");
    expect(under.service.stats()).toMatchObject({ open: 2, accepted: 3, full: 0 });
    vi.advanceTimersByTime(60_000);
    expect(third.destroyed).toBe(false);
  });

  test("R23: it waits a second, not longer, and is closed, counted and told", async () => {
    const under = await bed();
    under.arrive();
    under.arrive();
    const third = under.arrive().resume();
    vi.advanceTimersByTime(999);
    await turns(3);
    expect(third.readableEnded).toBe(false);
    vi.advanceTimersByTime(1);
    await until(() => third.readableEnded);
    expect(under.service.stats()).toMatchObject({ open: 2, accepted: 3, full: 1, refused: 0, failed: 0 });
    expect(names(under, "egress-3")).toEqual(["full"]);
  });

  test("R23: 128 wait, the 129th does not", async () => {
    const under = await bed();
    const peers = Array.from({ length: 131 }, () => under.arrive().resume());
    await until(() => peers[130]?.readableEnded === true);
    expect(peers.filter(({ readableEnded }) => readableEnded).length).toBe(1);
    expect(under.service.stats()).toMatchObject({ open: 2, full: 1 });
    vi.advanceTimersByTime(1_000);
    await until(() => peers.slice(2).every(({ readableEnded }) => readableEnded));
    expect([under.service.stats().full, vi.getTimerCount()]).toEqual([129, 0]);
  });

  test("R23: without a queue it is closed at once", async () => {
    const under = await bed({ maxWaiting: 0 });
    under.arrive();
    under.arrive();
    under.arrive();
    expect(under.service.stats()).toMatchObject({ open: 2, full: 1 });
  });

  test("R24: one context id has its places, and no place in the queue beyond them; another is served", async () => {
    const under = await bed({ maxConnections: 3, maxConnectionsPerCid: 2 });
    const greedy = Array.from({ length: 50 }, () => under.arrive(16));
    under.arrive(17);
    await turns(3);
    expect(under.served.map(({ cid }) => cid)).toEqual([16, 16, 17]);
    expect(under.service.stats()).toMatchObject({ open: 3, full: 48 });
    expect(under.events).toContainEqual({ service: "egress", event: "full", connectionId: "egress-3", cid: 16 });
    greedy[0]?.destroy();
    under.served[0]?.socket.resume();
    await under.finish(0);
    under.arrive(16);
    await turns(3);
    expect(under.served.map(({ cid }) => cid)).toEqual([16, 16, 17, 16]);
  });

  test("R24: a place that is free goes to the first in the queue that may have it", async () => {
    const under = await bed({ maxConnections: 3, maxConnectionsPerCid: 2 });
    for (const cid of [17, 17, 16, 16, 16, 18]) under.arrive(cid);
    await turns(3);
    await under.finish(0);
    await under.finish(1);
    expect(under.served.map(({ cid }) => cid)).toEqual([17, 17, 16, 16, 18]);
  });

  test("R27: draining ends what carries nothing, and not what does; neither is forced", async () => {
    vi.useFakeTimers();
    const under = await bed({});
    for (const cid of [16, 17]) under.arrive(cid);
    await vi.advanceTimersByTimeAsync(0);
    const [busy, quiet] = under.served;
    const drained = under.service.drain(60_000, { quietMs: 1_000 });
    for (let second = 0; second < 4; second++) {
      if (busy) busy.traffic.bytesFromEnclave++;
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect([busy?.signal.aborted, quiet?.signal.aborted]).toEqual([false, true]);
    busy?.socket.destroy();
    await vi.advanceTimersByTimeAsync(0);
    expect(await drained).toEqual({ forced: 0 });
  });

  test("R24: one context id does not take the queue either: those of it that wait could all begin", async () => {
    const under = await bed({ maxConnections: 2, maxConnectionsPerCid: 2, maxWaiting: 4 });
    for (const cid of [10, 11, 10, 10, 10, 10, 12]) under.arrive(cid);
    await turns(5);
    const full = under.events.filter(({ event }) => event === "full").map(({ cid }) => cid);
    expect(full).toEqual([10, 10, 10]);
  });

  test.each(["maxConnections", "maxConnectionsPerCid", "maxWaiting", "waitTimeoutMs"])(
    "%s is a whole number",
    async (name) => {
      for (const value of [-1, 1.5, Number.NaN]) await expect(bed({ [name]: value })).rejects.toThrow(RangeError);
    },
  );
});

describe("the life of a connection", () => {
  test("its events, in order, with how long it took and what crossed, live and after it", async () => {
    const clock = { now: 100 };
    const under = await bed({
      monotonicMs: () => clock.now,
      serve: async ({ traffic, log }) => {
        traffic.bytesFromEnclave += 7;
        log("connected", { target: "a.test:443" });
        await turns(5);
        traffic.bytesToEnclave += 9;
        clock.now = 350;
        return "refused";
      },
    });
    under.arrive(16);
    expect(under.service.stats()).toMatchObject({ open: 1, bytesFromEnclave: 7, bytesToEnclave: 0 });
    await until(() => under.service.stats().open === 0);
    const of = { service: "egress", connectionId: "egress-1", cid: 16 };
    expect(under.events).toEqual([
      { ...of, event: "accepted" },
      { ...of, event: "connected", target: "a.test:443" },
      { ...of, event: "closed", durationMs: 250, bytesFromEnclave: 7, bytesToEnclave: 9 },
    ]);
    expect(under.service.stats()).toMatchObject({ refused: 1, failed: 0, bytesFromEnclave: 7, bytesToEnclave: 9 });
  });

  test("one that fails is closed and told by its code, and the service goes on", async () => {
    const under = await bed({
      serve: async ({ id }) => {
        if (id !== "egress-1") return "served";
        throw Object.assign(new Error("canary"), { code: "EBROKEN" });
      },
    });
    const peer = under.arrive().resume();
    await until(() => peer.readableEnded);
    under.arrive();
    await until(() => under.service.stats().open === 0);
    expect(names(under, "egress-1")).toEqual(["accepted", "failed", "closed"]);
    expect(under.service.stats()).toMatchObject({ accepted: 2, failed: 1 });
    expect(JSON.stringify(under.events)).not.toContain("canary");
  });
});

describe("an enclave that is gone", () => {
  test("R26: all that its context id has open is destroyed, and nothing of another's", async () => {
    const under = await bed({ maxConnections: 3 });
    const peers = [under.arrive(16), under.arrive(17), under.arrive(16)].map((peer) => peer.resume());
    await turns(2);
    expect(under.service.disconnect(16)).toBe(2);
    await until(() => under.service.stats().open === 1);
    expect([peers.map(({ readableEnded }) => readableEnded), under.service.disconnect(16)]).toEqual([
      [true, false, true],
      0,
    ]);
  });
});

describe("out of descriptors", () => {
  const told = ({ events }: Bed): unknown[] => events.map(({ event, code, count }) => [event, code ?? count]);

  test("R25, V17: a storm of pauses is one line, and one when there is calm; all are counted", async () => {
    const under = await bed();
    for (let i = 0; i < 600; i++) {
      under.pause(i % 2 ? "EMFILE" : "ENFILE");
      vi.advanceTimersByTime(50);
      under.resume();
      vi.advanceTimersByTime(50);
    }
    expect(told(under)).toEqual([["paused", "ENFILE"]]);
    vi.advanceTimersByTime(2_000);
    expect(told(under)).toEqual([
      ["paused", "ENFILE"],
      ["resumed", 600],
    ]);
    expect(under.service.stats().acceptPauses).toBe(600);
    under.pause("EMFILE");
    vi.advanceTimersByTime(60_000);
    expect(told(under).slice(2)).toEqual([["paused", "EMFILE"]]);
  });

  test("R25: a pause that comes and goes every three seconds is no more than a line a second", async () => {
    const under = await bed();
    for (let second = 0; second < 300; second++) {
      if (second % 3 === 0) under.pause("EMFILE");
      under.resume();
      vi.advanceTimersByTime(1_000);
    }
    expect(under.events.length).toBe(200);
  });

  test("V16: what waits meanwhile is served after it, and a service that closes leaves no timer", async () => {
    const under = await bed();
    under.pause("EMFILE");
    under.resume();
    under.arrive();
    await turns(2);
    expect(under.served.length).toBe(1);
    await under.service.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("drain", () => {
  const pending = (under: Bed, ms: number): { result: Promise<{ forced: number }>; isDone: () => boolean } => {
    let done = false;
    const result = under.service.drain(ms).finally(() => {
      done = true;
    });
    return { result, isDone: () => done };
  };

  test("R27: accepting stops at once, what is open finishes, nothing was forced", async () => {
    const under = await bed();
    under.arrive();
    const last = under.arrive();
    const { result, isDone } = pending(under, 30_000);
    expect(under.isAccepting()).toBe(false);
    await under.finish(0);
    expect([isDone(), last.destroyed]).toEqual([false, false]);
    await under.finish(1);
    expect(await result).toEqual({ forced: 0 });
    expect(under.events.filter(({ connectionId }) => connectionId === undefined)).toEqual([
      { service: "egress", event: "draining", count: 2 },
      { service: "egress", event: "drained", count: 0, durationMs: expect.any(Number) },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("R27: what waited for a place is served too", async () => {
    const under = await bed();
    for (let i = 0; i < 3; i++) under.arrive();
    const { result, isDone } = pending(under, 30_000);
    await under.finish(0);
    await under.finish(1);
    expect([under.served.length, isDone()]).toEqual([3, false]);
    await under.finish(2);
    expect(await result).toEqual({ forced: 0 });
  });

  test("R27: at the deadline the rest is destroyed, and counted", async () => {
    const under = await bed({ waitTimeoutMs: 60_000 });
    const peers: Duplex[] = Array.from({ length: 3 }, () => under.arrive().resume());
    const { result, isDone } = pending(under, 30_000);
    await vi.advanceTimersByTimeAsync(29_999);
    expect(isDone()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await result).toEqual({ forced: 3 });
    await until(() => peers.every(({ readableEnded }) => readableEnded));
    expect(under.service.stats().open).toBe(0);
  });

  test("R27: a second drain may be shorter; one with nothing open is over at once", async () => {
    const under = await bed();
    under.arrive();
    const long = pending(under, 30_000);
    const short = pending(under, 0);
    await vi.advanceTimersByTimeAsync(0);
    expect(await short.result).toEqual({ forced: 1 });
    expect(await long.result).toEqual({ forced: 0 });
    expect(await (await bed()).service.drain(0)).toEqual({ forced: 0 });
    expect(await codeOf(under.service.drain(Number.NaN))).toMatch(/RangeError/);
  });
});
