/** The driver over node-vsock, on a binding that behaves as the real one; the real one runs in the guest. */
import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/create.ts";
import { createNodeVsockTransport } from "../../transport/node-vsock.ts";
import { FakeNodeVsock } from "./fake-node-vsock.ts";
import { codeOf, collect, digest, pattern, send, take } from "./streams.ts";

const ANY = 0xffff_ffff;
const at = (port: number, cid = 3): Address => ({ kind: "vsock", cid, port });
const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

let binding: FakeNodeVsock;
let transport: Transport;
beforeEach(() => {
  binding = new FakeNodeVsock();
  transport = createNodeVsockTransport(binding);
});
afterEach(() => {
  vi.useRealTimers();
  expect(binding.violations).toEqual([]);
});

async function pair(driver: Transport = transport): Promise<{ near: Duplex; far: Duplex; listener: Listener }> {
  let accepted: (socket: Duplex) => void = () => {};
  const far = new Promise<Duplex>((resolve) => (accepted = resolve));
  const listener = await driver.listen(at(1, ANY), (socket) => accepted(socket));
  return { near: await driver.connect(at(1)), far: await far, listener };
}

describe("node-vsock", () => {
  test("bytes arrive whole, and an end that follows the peer's end is clean", async () => {
    const { near, far } = await pair();
    const bytes = pattern(1_000_000);
    const receiving = collect(far);
    await send(near, bytes);
    near.end();
    expect(digest(await receiving)).toBe(digest(bytes));
    far.end();
    await Promise.all([finished(far), turns()]);
    expect(binding.open.size).toBe(1);
  });

  test("who ends first and still reads sees a premature close, never a clean end", async () => {
    const { near, far } = await pair();
    near.end("question");
    expect((await collect(far)).toString()).toBe("question");
    await expect(collect(near)).rejects.toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    far.destroy();
    await turns();
    expect(binding.open.size).toBe(1);
  });

  test("a descriptor is closed once, and only when its thread is done", async () => {
    const { near, far } = await pair();
    near.write("unread");
    near.destroy();
    await turns();
    far.destroy();
    await turns();
    // The listener's is left.
    expect(binding.open.size).toBe(1);
  });

  test("writing to nobody fails on this socket alone", async () => {
    const { near, far } = await pair();
    far.destroy();
    await turns();
    near.write("to nobody");
    await expect(finished(near)).rejects.toMatchObject({ code: "EPIPE" });
  });

  test("V08: what waits unread is bounded", async () => {
    const { near, far } = await pair(createNodeVsockTransport(binding, { maxUnreadBytes: 100_000 }));
    const failed = codeOf(finished(far));
    await send(near, pattern(100_000), 10_000);
    await turns();
    expect(far.destroyed).toBe(false);
    near.write("x");
    expect(await failed).toBe("ERR_TRANSPORT_UNREAD");
  });

  test("nobody listens: the system's name, found in the binding's text; the descriptor goes", async () => {
    await expect(transport.connect(at(9))).rejects.toMatchObject({
      code: "ERR_TRANSPORT_UNREACHABLE",
      details: { reason: "ECONNRESET" },
    });
    expect(binding.open.size).toBe(0);
  });

  test.each(["succeeds", "fails"])("an attempt that is given up holds its descriptor until it %s", async (how) => {
    await transport.listen(at(1, ANY), (socket) => socket.destroy());
    let release: () => void = () => {};
    binding.hold = (outcome) => (release = outcome);
    if (how === "fails") binding.connectFailure = "ETIMEDOUT";
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const attempt = codeOf(transport.connect(at(1), { timeoutMs: 250 }));
    vi.advanceTimersByTime(250);
    expect(await attempt).toBe("ERR_TRANSPORT_TIMEOUT");
    expect(binding.open.size).toBe(2);
    release();
    await turns();
    expect(binding.open.size).toBe(1);
  });

  test("it listens on every context id or not at all", async () => {
    expect(await codeOf(transport.listen(at(1, 3), () => {}))).toBe("ERR_TRANSPORT_UNSUPPORTED");
    await transport.listen(at(1, ANY), () => {});
    await expect(transport.listen(at(1, ANY), () => {})).rejects.toMatchObject({
      code: "ERR_TRANSPORT_UNREACHABLE",
      details: { reason: "EADDRINUSE" },
    });
  });

  test("a listener that is closed hands out nothing more", async () => {
    const { near, far, listener } = await pair();
    far.write("last words");
    near.resume();
    await listener.close();
    expect(far.destroyed).toBe(true);
    const late = await transport.connect(at(1));
    late.destroy();
    await turns();
    expect(await take(late, 1).catch(() => "closed")).toBe("closed");
  });

  test("a host opts in by name", async () => {
    const chosen = createTransport({ vsock: transport });
    await chosen.listen(at(1, ANY), (socket) => socket.end("chosen"));
    expect((await collect(await chosen.connect(at(1)))).toString()).toBe("chosen");
    await expect(transport.connect({ kind: "unix", path: "/x" })).rejects.toBeInstanceOf(TypeError);
    await expect(transport.connect(at(-1))).rejects.toBeInstanceOf(RangeError);
  });
});
