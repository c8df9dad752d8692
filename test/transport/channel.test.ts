import { Duplex } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import { TransportError } from "../../shared/errors/index.ts";
import { type Channel, OUTSTANDING_MAX, openChannel } from "../../shared/transport/channel.ts";
import { encodeFrame, type Frame, FrameDecoder } from "../../shared/transport/frame.ts";
import type { Json } from "../../shared/transport/json.ts";
import { type ChannelHandlers, type ServedChannel, serveChannel } from "../../shared/transport/serve-channel.ts";
import { codeOf } from "./streams.ts";

/** Two ends of a stream in memory, with half-close and backpressure. */
function pipePair(): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const waiting: ((() => void) | undefined)[] = [];
  const make = (own: number, other: number): Duplex =>
    new Duplex({
      allowHalfOpen: true,
      read() {
        const done = waiting[own];
        waiting[own] = undefined;
        done?.();
      },
      write(chunk: Buffer, _encoding, done) {
        if (ends[other]?.push(chunk)) done();
        else waiting[other] = done;
      },
      final(done) {
        ends[other]?.push(null);
        done();
      },
      destroy(error, done) {
        setImmediate(() => ends[other]?.destroy());
        done(error);
      },
    });
  ends.push(make(0, 1), make(1, 0));
  return [ends[0] as Duplex, ends[1] as Duplex];
}

function connected(handlers: ChannelHandlers): { channel: Channel; served: ServedChannel } {
  const [near, far] = pipePair();
  return { channel: openChannel(near, { peer: "the test" }), served: serveChannel(far, handlers) };
}

/** A peer that writes frames by hand. */
function rawPeer(socket: Duplex): { send: (...frames: Frame[]) => void; got: Frame[] } {
  const got: Frame[] = [];
  const decoder = new FrameDecoder((frame) => got.push(frame));
  socket.on("data", (chunk: Buffer) => decoder.push(chunk)).on("error", () => {});
  return { got, send: (...frames) => socket.write(Buffer.concat(frames.map((frame) => encodeFrame(frame)))) };
}

const turn = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
};
const never = (): Promise<Json> => new Promise(() => {});
const faultOf = async (served: ServedChannel): Promise<string | undefined> =>
  ((await served.closed) as { code?: string } | undefined)?.code;
const ask = (id: number, method = "m"): Frame => ({ type: "request", id, body: { method, params: {} } });

afterEach(() => void vi.useRealTimers());

describe("a channel", () => {
  test("answers, refuses by code alone, and carries events in order", async () => {
    const seen: Json[] = [];
    const { channel, served } = connected({
      requests: {
        double: (params) => [params, params],
        refuse: () => {
          throw new TransportError("ERR_TRANSPORT_BUSY", { limit: 1 });
        },
        break: () => {
          throw new Error("canary: internal detail");
        },
        nothing: (() => undefined) as unknown as () => Json,
        large: () => "x".repeat(2_000_000),
      },
      events: { note: (body) => void seen.push(body) },
    });
    channel.event("note", 1);
    channel.event("note", { two: 2 });
    expect(await channel.request("double", "a")).toEqual(["a", "a"]);
    const refused = (method: string): Promise<unknown> => channel.request(method, {}).catch((error) => error.details);
    expect(await refused("refuse")).toEqual({ method: "refuse", refusal: "ERR_TRANSPORT_BUSY" });
    expect(await refused("break")).toEqual({ method: "break", refusal: "ERR_INTERNAL" });
    expect(await refused("nothing")).toEqual({ method: "nothing", refusal: "ERR_INTERNAL" });
    expect(await refused("large")).toEqual({ method: "large", refusal: "ERR_TRANSPORT_FRAME_TOO_LARGE" });
    expect(await refused("toString")).toEqual({ method: "toString", refusal: "ERR_TRANSPORT_METHOD_UNKNOWN" });
    expect(seen).toEqual([1, { two: 2 }]);
    await channel.close();
    expect(await served.closed).toBeUndefined();
    expect(await codeOf(channel.request("double", 1))).toBe("ERR_TRANSPORT_CLOSED");
  });

  test("answers may come in another order", async () => {
    let release: (value: Json) => void = () => {};
    const { channel } = connected({
      requests: { slow: () => new Promise((resolve) => (release = resolve)), fast: () => "fast" },
    });
    const slow = channel.request("slow", {});
    expect(await channel.request("fast", {})).toBe("fast");
    release("slow");
    expect(await slow).toBe("slow");
  });

  test("V13: a late answer is dropped and meets no other question", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [near, far] = pipePair();
    const peer = rawPeer(far);
    const channel = openChannel(near, { peer: "the test" });
    const late = codeOf(channel.request("a", {}, { timeoutMs: 100 }));
    vi.advanceTimersByTime(100);
    expect(await late).toBe("ERR_TRANSPORT_TIMEOUT");
    const next = channel.request("b", {});
    await turn();
    expect(peer.got.map(({ id }) => id)).toEqual([1, 2]);
    peer.send({ type: "response", id: 1, body: "for a" }, { type: "response", id: 2, body: "for b" });
    expect(await next).toBe("for b");
  });

  test("an aborted request rejects with the signal's reason", async () => {
    const { channel } = connected({ requests: { never } });
    const controller = new AbortController();
    const asked = channel.request("never", {}, { signal: controller.signal });
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await expect(channel.request("never", {}, { signal: controller.signal })).rejects.toBe(reason);
  });

  test("V12: the asking side holds 256 questions", async () => {
    const { channel } = connected({ requests: { never } });
    const asked = Array.from({ length: OUTSTANDING_MAX }, () => codeOf(channel.request("never", {})));
    expect(await codeOf(channel.request("never", {}))).toBe("ERR_TRANSPORT_BUSY");
    void channel.close();
    await turn();
    expect(asked).toHaveLength(256);
  });

  test("V12: the answering side works on 256, and says so to the rest of 10 000", async () => {
    const [near, far] = pipePair();
    const peer = rawPeer(near);
    let started = 0;
    serveChannel(far, {
      requests: {
        m: () => {
          started++;
          return never();
        },
      },
    });
    for (let id = 1; id <= 10_000; id++) peer.send(ask(id));
    while (peer.got.length < 10_000 - OUTSTANDING_MAX) await turn();
    expect(started).toBe(OUTSTANDING_MAX);
    expect(new Set(peer.got.map(({ body }) => JSON.stringify(body)))).toEqual(
      new Set(['{"code":"ERR_TRANSPORT_BUSY"}']),
    );
  });

  test("V06: the peer ends with answers pending: it gets them all, then the end", async () => {
    const [near, far] = pipePair();
    const peer = rawPeer(near);
    const release: (() => void)[] = [];
    serveChannel(far, { requests: { m: () => new Promise((resolve) => release.push(() => resolve("ok"))) } });
    peer.send(ask(1), ask(2), ask(3));
    near.end();
    await turn();
    expect(near.readableEnded).toBe(false);
    for (const resolve of release) resolve();
    await new Promise((resolve) => near.once("end", resolve));
    expect(peer.got).toHaveLength(3);
  });

  test("V07: a peer that does not end its side is left after five seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [near, far] = pipePair();
    far.resume();
    const channel = openChannel(near, { peer: "the test" });
    const closing = channel.close();
    await turn();
    vi.advanceTimersByTime(4_999);
    await turn();
    expect(near.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    await closing;
  });

  test("the peer goes in the middle: every question fails, later ones too", async () => {
    const [near, far] = pipePair();
    rawPeer(far);
    const channel = openChannel(near, { peer: "the test" });
    const asked = [codeOf(channel.request("a", {})), codeOf(channel.request("b", {}))];
    far.destroy();
    expect(await Promise.all(asked)).toEqual(["ERR_TRANSPORT_CLOSED", "ERR_TRANSPORT_CLOSED"]);
    expect(() => channel.event("e", {})).toThrow(expect.objectContaining({ code: "ERR_TRANSPORT_CLOSED" }));
  });

  test("V08: while a peer takes no answers, its questions are not read", async () => {
    const [near, far] = pipePair();
    near.on("error", () => {});
    let started = 0;
    serveChannel(far, {
      requests: {
        m: () => {
          started++;
          return "x".repeat(100_000);
        },
      },
    });
    for (let id = 1; id <= 2_000; id++) near.write(encodeFrame(ask(id)));
    await turn();
    expect(started).toBeLessThanOrEqual(OUTSTANDING_MAX);
    expect(far.writableLength).toBeLessThan(OUTSTANDING_MAX * 100_100);
    const read = rawPeer(near);
    while (read.got.length < 2_000) await turn();
  });
});

describe("a channel's answering side is strict", () => {
  test.each<[string, Frame[], string]>([
    ["V11: an id used twice", [ask(1), ask(1)], "ERR_TRANSPORT_FRAME_INVALID"],
    ["V11: an id that goes back", [ask(5), ask(4)], "ERR_TRANSPORT_FRAME_INVALID"],
    ["V11: id 0", [ask(0)], "ERR_TRANSPORT_FRAME_INVALID"],
    ["V11: a response", [{ type: "response", id: 1, body: 1 }], "ERR_TRANSPORT_FRAME_INVALID"],
    [
      "V11: a request without params",
      [{ type: "request", id: 1, body: { method: "m" } }],
      "ERR_TRANSPORT_FRAME_INVALID",
    ],
    ["V11: a request that is a list", [{ type: "request", id: 1, body: ["m", {}] }], "ERR_TRANSPORT_FRAME_INVALID"],
    [
      "V11: an event with an id",
      [{ type: "event", id: 1, body: { name: "e", body: 1 } }],
      "ERR_TRANSPORT_FRAME_INVALID",
    ],
    ["V11: an unknown event", [{ type: "event", id: 0, body: { name: "x", body: 1 } }], "ERR_TRANSPORT_FRAME_INVALID"],
  ])("%s closes it", async (_, frames, code) => {
    const [near, far] = pipePair();
    const served = serveChannel(far, { requests: { m: never }, events: { e: () => {} } });
    rawPeer(near).send(...frames);
    expect(await faultOf(served)).toBe(code);
  });

  test.each<[string, number, number]>([
    ["V02: the length, a byte at a time", 2, 5_000],
    ["V03: the length alone", 4, 5_000],
    ["V03: all but the last byte", -1, 5_000],
  ])("%s: closed after its deadline", async (_, count, atLeastMs) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [near, far] = pipePair();
    near.on("error", () => {});
    const served = serveChannel(far, { requests: { m: never } });
    for (const byte of encodeFrame(ask(1)).subarray(0, count)) {
      near.write(Uint8Array.of(byte));
      await turn();
    }
    vi.advanceTimersByTime(atLeastMs - 1);
    await turn();
    expect(far.destroyed).toBe(false);
    vi.advanceTimersByTime(1_001);
    expect(await faultOf(served)).toBe("ERR_TRANSPORT_FRAME_SLOW");
  });

  test("V02: a byte a second does not move the deadline", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [near, far] = pipePair();
    near.on("error", () => {});
    const served = serveChannel(far, { requests: { m: never } });
    const bytes = encodeFrame(ask(1));
    for (let second = 0; second < 12 && !far.destroyed; second++) {
      near.write(bytes.subarray(second, second + 1));
      await turn();
      vi.advanceTimersByTime(1_000);
      await turn();
    }
    expect(await faultOf(served)).toBe("ERR_TRANSPORT_FRAME_SLOW");
  });

  test("between frames a peer may rest as long as it likes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const [near, far] = pipePair();
    const peer = rawPeer(near);
    serveChannel(far, { requests: { m: () => "ok" } });
    peer.send(ask(1));
    await turn();
    vi.advanceTimersByTime(3_600_000);
    peer.send(ask(2));
    await turn();
    expect(peer.got).toHaveLength(2);
  });

  test("V04: the end inside a frame", async () => {
    const [near, far] = pipePair();
    near.on("error", () => {});
    const served = serveChannel(far, { requests: { m: never } });
    near.end(encodeFrame(ask(1)).subarray(0, -1));
    expect(await faultOf(served)).toBe("ERR_TRANSPORT_FRAME_TRUNCATED");
  });

  test("a handler hears when the peer is gone", async () => {
    let signal: AbortSignal | undefined;
    const { channel, served } = connected({
      requests: {
        m: (_, given) => {
          signal = given;
          return never();
        },
      },
    });
    const asked = codeOf(channel.request("m", {}));
    await turn();
    served.destroy();
    expect(await asked).toBe("ERR_TRANSPORT_CLOSED");
    expect(signal?.aborted).toBe(true);
  });
});

describe("a channel's asking side is strict", () => {
  test.each<[string, (id: number) => Frame[]]>([
    ["V11: an answer to nothing", () => [{ type: "response", id: 99, body: 1 }]],
    [
      "V11: an answer twice",
      (id) => [
        { type: "response", id, body: 1 },
        { type: "response", id, body: 1 },
      ],
    ],
    ["V11: a request", () => [ask(1)]],
    ["V11: an event", () => [{ type: "event", id: 0, body: { name: "e", body: 1 } }]],
  ])("%s closes it", async (_, frames) => {
    const [near, far] = pipePair();
    const peer = rawPeer(far);
    const channel = openChannel(near, { peer: "the test" });
    const first = channel.request("a", {}).catch(() => {});
    const second = codeOf(channel.request("b", {}));
    await turn();
    peer.send(...frames(1));
    expect(await second).toBe("ERR_TRANSPORT_FRAME_INVALID");
    await Promise.all([first, channel.closed]);
  });

  test("a refusal that is no code is not quoted", async () => {
    const [near, far] = pipePair();
    const peer = rawPeer(far);
    const channel = openChannel(near, { peer: "the test" });
    const asked = channel.request("a", {}).catch((error) => error.details.refusal);
    await turn();
    peer.send({ type: "error", id: 1, body: { code: "<b>\u001b[2J" } });
    expect(await asked).toBe("ERR_UNSPECIFIED");
  });
});
