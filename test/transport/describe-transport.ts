/** The compliance suite of the `Transport` seam. Every driver passes all of it. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";
import { declareDescriptorTests } from "./descriptors.ts";
import { closed, codeOf, collect, digest, pattern, send, take } from "./streams.ts";

export interface TransportUnderTest {
  readonly transport: Transport;
  /** A place to listen that nobody uses; each call another. */
  readonly place: () => Address;
  /** A place where nobody listens. */
  readonly nowhere: () => Promise<Address>;
}

const MIB = 1_048_576;
/** The sizes of the issue; the quick run takes less of the same. */
const SLOW = process.env["SLOW"] === "1";
const FLOOD_MIB = SLOW ? 64 : 16;
const ANSWER_MIB = SLOW ? 100 : 16;

export function describeTransport(name: string, make: () => TransportUnderTest): void {
  describe(`transport compliance: ${name}`, () => {
    let under: TransportUnderTest;
    let listeners: Listener[];
    let sockets: Duplex[];

    beforeEach(() => {
      under = make();
      listeners = [];
      sockets = [];
    });
    afterEach(async () => {
      vi.useRealTimers();
      for (const socket of sockets) socket.destroy();
      await Promise.all(listeners.map((listener) => listener.close()));
    });

    async function listen(onConnection: (socket: Duplex) => void): Promise<Listener> {
      const listener = await under.transport.listen(under.place(), (socket) => {
        sockets.push(socket);
        onConnection(socket);
      });
      listeners.push(listener);
      return listener;
    }

    async function pair(): Promise<{ near: Duplex; far: Duplex; listener: Listener }> {
      let accepted: (socket: Duplex) => void = () => {};
      const far = new Promise<Duplex>((resolve) => {
        accepted = resolve;
      });
      const listener = await listen((socket) => accepted(socket));
      const near = await under.transport.connect(listener.address);
      sockets.push(near);
      return { near, far: await far, listener };
    }

    test("bytes come back as they went", async () => {
      const listener = await listen((socket) => socket.pipe(socket));
      const socket = await under.transport.connect(listener.address);
      const bytes = pattern(3 * MIB);
      const [echo] = await Promise.all([collect(socket), send(socket, bytes).then(() => socket.end())]);
      expect(digest(echo)).toBe(digest(bytes));
    });

    test("stopAccepting: no connection more, those that are open go on, and close works after it", async () => {
      const { near, far, listener } = await pair();
      listener.stopAccepting();
      listener.stopAccepting();
      const late = await under.transport.connect(listener.address).then(
        (socket) => closed(socket.resume()),
        (error: unknown) => error,
      );
      expect(late instanceof Error || late === undefined).toBe(true);
      expect(sockets.length).toBe(2);
      near.end("still here");
      expect((await collect(far)).toString()).toBe("still here");
      far.end();
      await Promise.all([closed(near.resume()), listener.close()]);
    });

    test(`V06, half-close: ${ANSWER_MIB} MiB of answer arrive whole after the asking side's end`, async () => {
      const { near, far } = await pair();
      const answer = pattern(ANSWER_MIB * MIB);
      near.end("question");
      expect((await collect(far)).toString()).toBe("question");
      expect(near.writableEnded).toBe(true);
      const [got] = await Promise.all([collect(near), send(far, answer).then(() => far.end())]);
      expect(digest(got)).toBe(digest(answer));
      await Promise.all([closed(near), closed(far)]);
    });

    test("half-close: the listening side ends first, and still takes 16 MiB", async () => {
      const { near, far } = await pair();
      far.end("enough said");
      expect((await collect(near)).toString()).toBe("enough said");
      const sent = pattern(16 * MIB);
      const [got] = await Promise.all([collect(far), send(near, sent).then(() => near.end())]);
      expect(digest(got)).toBe(digest(sent));
    });

    test("V08: backpressure: a writer that heeds `false` is held by a peer that does not read", async () => {
      const { near, far } = await pair();
      const bytes = pattern(64 * MIB);
      let held = 0;
      const sending = send(near, bytes).then((highest) => {
        held = highest;
        near.end();
      });
      // The peer reads nothing until the writer has been told to stop.
      while (!near.writableNeedDrain) await new Promise(setImmediate);
      const [got] = await Promise.all([collect(far), sending]);
      expect(digest(got)).toBe(digest(bytes));
      expect(held).toBeGreaterThan(0);
      expect(held).toBeLessThanOrEqual(65_536 + near.writableHighWaterMark);
    });

    test("V08: a peer that does not read holds the writer, and what is under way is bounded", async () => {
      const { near } = await pair();
      const chunk = Buffer.alloc(65_536, "x");
      let passed = 0;
      const sending = (async () => {
        for (; passed < 64 * MIB; passed += chunk.length) if (!near.write(chunk)) await once(near, "drain");
      })().catch(() => {});
      for (let i = 0; i < 2_000; i++) await new Promise(setImmediate);
      expect(passed).toBeLessThan(16 * MIB);
      near.destroy();
      await Promise.race([sending, closed(near)]);
    });

    test(`A20, V09: both sides flood ${FLOOD_MIB} MiB before they read, and both get everything`, async () => {
      const { near, far } = await pair();
      const [a, b] = [pattern(FLOOD_MIB * MIB, 1), pattern(FLOOD_MIB * MIB, 2)];
      const sending = [send(near, a).then(() => near.end()), send(far, b).then(() => far.end())];
      while (!near.writableNeedDrain || !far.writableNeedDrain) await new Promise(setImmediate);
      const [atNear, atFar] = await Promise.all([collect(near), collect(far)]);
      await Promise.all(sending);
      expect(digest(atFar)).toBe(digest(a));
      expect(digest(atNear)).toBe(digest(b));
    });

    test("V10: writes of one byte, and of sizes around 64 KiB, are one stream of bytes", async () => {
      const { near, far } = await pair();
      const sizes = [65_535, 65_536, 65_537, 1, 131_071, 131_073];
      const bytes = pattern(sizes.reduce((sum, size) => sum + size, 0) + (SLOW ? 1_000_000 : 20_000));
      const receiving = collect(far);
      let at = 0;
      for (const size of sizes) {
        await send(near, bytes.subarray(at, at + size), size);
        at += size;
      }
      await send(near, bytes.subarray(at), 1);
      near.end();
      expect(digest(await receiving)).toBe(digest(bytes));
    });

    test("the writer may use its memory again when its write is done", async () => {
      const { near, far } = await pair();
      const bytes = Buffer.from("as it was");
      await new Promise<void>((resolve) => near.write(bytes, () => resolve()));
      bytes.fill("x");
      expect((await take(far, 9)).toString()).toBe("as it was");
    });

    test("nobody listens: the system's name for it", async () => {
      const failure = under.transport.connect(await under.nowhere());
      await expect(failure).rejects.toMatchObject({
        code: "ERR_TRANSPORT_UNREACHABLE",
        details: { reason: expect.stringMatching(/^(ECONNREFUSED|ENOENT|ECONNRESET)$/) },
      });
    });

    test("an aborted signal ends the attempt with its reason, before and during", async () => {
      const listener = await listen(() => {});
      const reason = new Error("not wanted");
      await expect(under.transport.connect(listener.address, { signal: AbortSignal.abort(reason) })).rejects.toBe(
        reason,
      );
      const controller = new AbortController();
      const attempt = under.transport.connect(listener.address, { signal: controller.signal });
      controller.abort(reason);
      await expect(attempt).rejects.toBe(reason);
    });

    test("no answer in time", async () => {
      const listener = await listen(() => {});
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const attempt = under.transport.connect(listener.address, { timeoutMs: 250 });
      // Before the event loop can turn: to this attempt the peer has not answered.
      vi.advanceTimersByTime(250);
      await expect(attempt).rejects.toMatchObject({ code: "ERR_TRANSPORT_TIMEOUT", details: { timeoutMs: 250 } });
    });

    test.each([0, -1, Number.NaN, 2 ** 31])("a timeout of %d ms is a mistake", async (timeoutMs) => {
      await expect(under.transport.connect(await under.nowhere(), { timeoutMs })).rejects.toBeInstanceOf(RangeError);
    });

    test("after a connection stands, its timeout does not end it", async () => {
      const listener = await listen((socket) => socket.pipe(socket));
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const socket = await under.transport.connect(listener.address, { timeoutMs: 250 });
      vi.advanceTimersByTime(10_000);
      socket.end("still here");
      expect((await collect(socket)).toString()).toBe("still here");
    });

    test.each(["the connecting", "the listening"])(
      "V05: %s side vanishes: seen, and no uncaught exception",
      async (side) => {
        const { near, far } = await pair();
        const [gone, left] = side === "the connecting" ? [near, far] : [far, near];
        gone.write("unread");
        await take(left, 1);
        gone.destroy();
        await collect(left).catch(() => {});
        // Writing to nobody fails on this socket alone, whether anyone listens for its error or not.
        left.write("to nobody");
        left.write("to nobody");
        await new Promise(setImmediate);
        left.end("to nobody");
        await closed(left);
        await new Promise(setImmediate);
      },
    );

    test("closing a listener ends its connections and gives the place free", async () => {
      const { near, far, listener } = await pair();
      near.resume();
      const ended = once(near, "end");
      // It does not take the time that is left to a peer that does not read.
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      await listener.close();
      await ended;
      expect(far.destroyed).toBe(true);
      expect(await codeOf(under.transport.connect(listener.address))).toBe("ERR_TRANSPORT_UNREACHABLE");
      listeners.push(await under.transport.listen(listener.address, () => {}));
    });

    test("what was written before the listener closed still arrives", async () => {
      const { near, far, listener } = await pair();
      far.write("last words");
      const [got] = await Promise.all([collect(near), listener.close()]);
      expect(got.toString()).toBe("last words");
    });

    test("a place in use can not be taken", async () => {
      const listener = await listen(() => {});
      await expect(under.transport.listen(listener.address, () => {})).rejects.toMatchObject({
        code: "ERR_TRANSPORT_UNREACHABLE",
        details: { reason: "EADDRINUSE" },
      });
      // The one who has it is not disturbed.
      (await under.transport.connect(listener.address)).destroy();
    });

    declareDescriptorTests(() => under.transport, listen);
  });
}
