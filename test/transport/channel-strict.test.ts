import { afterEach, describe, expect, test, vi } from "vitest";
import { type Channel, openChannel } from "../../shared/transport/channel.ts";
import { encodeFrame, type Frame } from "../../shared/transport/frame.ts";
import { type ChannelHandlers, type ServedChannel, serveChannel } from "../../shared/transport/serve-channel.ts";
import { ask, faultOf, never, pipePair, rawPeer, turn } from "./pipe-pair.ts";
import { codeOf } from "./streams.ts";

afterEach(() => void vi.useRealTimers());

function connected(handlers: ChannelHandlers): { channel: Channel; served: ServedChannel } {
  const [near, far] = pipePair();
  return { channel: openChannel(near, { peer: "the test" }), served: serveChannel(far, handlers) };
}

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
