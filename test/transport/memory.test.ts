/** What the memory driver adds to the compliance suite: its own networks, and the order of events. */
import { describe, expect, test } from "vitest";
import { createMemoryPair, createMemoryTransport } from "../../transport/memory.ts";
import { closed, codeOf, collect } from "./streams.ts";

const errorOf = (socket: NodeJS.EventEmitter): Promise<string> =>
  new Promise((resolve) => socket.once("error", (error: { code: string }) => resolve(error.code)));

describe("memory", () => {
  test("each transport is a network of its own", async () => {
    const [one, other] = [createMemoryTransport(), createMemoryTransport()];
    const listener = await one.listen({ kind: "vsock", cid: 3, port: 1 }, (socket) => socket.end("one"));
    expect(await codeOf(other.connect(listener.address))).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect((await collect(await one.connect(listener.address))).toString()).toBe("one");
  });

  test("port 0 is one that nobody has", async () => {
    const transport = createMemoryTransport();
    const any = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
    const [a, b] = [await transport.listen(any, () => {}), await transport.listen(any, () => {})];
    expect(a.address).not.toEqual(b.address);
    expect(a.address).toMatchObject({ kind: "tcp", host: "127.0.0.1", port: expect.any(Number) });
    expect((await transport.connect(b.address)).writable).toBe(true);
  });

  test("no event comes before the call that caused it has returned", async () => {
    const [near, far] = createMemoryPair();
    const events: string[] = [];
    far.on("data", () => events.push("data")).on("end", () => events.push("end"));
    near.end("x");
    events.push("returned");
    await new Promise((resolve) => far.once("end", resolve));
    expect(events).toEqual(["returned", "data", "end"]);
  });

  test("two sockets that answer each other leave time for others", async () => {
    const [near, far] = createMemoryPair();
    near.pipe(near);
    far.pipe(far);
    near.write("for ever");
    await new Promise((resolve) => setTimeout(resolve, 1));
    near.destroy();
    await closed(far);
  });

  test("V05: a socket destroyed with bytes unread is a reset at its peer, one that has read all is an end", async () => {
    const [near, far] = createMemoryPair();
    far.write("unread");
    await new Promise((resolve) => near.once("readable", resolve));
    const failed = errorOf(far);
    near.destroy();
    expect(await failed).toBe("ECONNRESET");
    const [left, right] = createMemoryPair();
    left.destroy();
    expect(await collect(right)).toHaveLength(0);
    const broken = errorOf(right);
    right.write("to nobody");
    expect(await broken).toBe("EPIPE");
  });

  test("V08: a write that waits for room fails when the reader goes", async () => {
    const [near, far] = createMemoryPair();
    const outcome = new Promise((resolve) => near.write(Buffer.alloc(1_000_000), resolve));
    await new Promise((resolve) => far.once("readable", resolve));
    far.destroy();
    expect(await outcome).toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) });
  });

  test.each([
    ["V15: -1", -1, RangeError],
    ["V15: 1.5", 1.5, RangeError],
    ["V15: text", "8000" as unknown as number, TypeError],
  ])("%s is no port", async (_, port, mistake) => {
    const transport = createMemoryTransport();
    await expect(transport.connect({ kind: "vsock", cid: 3, port })).rejects.toBeInstanceOf(mistake);
    await expect(transport.listen({ kind: "vsock", cid: 3, port }, () => {})).rejects.toBeInstanceOf(mistake);
  });
});
