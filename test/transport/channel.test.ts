import { afterEach, describe, expect, test, vi } from "vitest";
import { TransportError } from "../../shared/errors/index.ts";
import { type Channel, OUTSTANDING_MAX, openChannel } from "../../shared/transport/channel.ts";
import { encodeFrame } from "../../shared/transport/frame.ts";
import type { Json } from "../../shared/transport/json.ts";
import { type ChannelHandlers, type ServedChannel, serveChannel } from "../../shared/transport/serve-channel.ts";
import { ask, never, pipePair, rawPeer, turn } from "./pipe-pair.ts";
import { codeOf } from "./streams.ts";

afterEach(() => void vi.useRealTimers());

function connected(handlers: ChannelHandlers): { channel: Channel; served: ServedChannel } {
  const [near, far] = pipePair();
  return { channel: openChannel(near, { peer: "the test" }), served: serveChannel(far, handlers) };
}

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
