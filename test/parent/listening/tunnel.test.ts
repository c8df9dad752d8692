import { once } from "node:events";
import { Duplex } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import type { EgressOptions } from "../../../parent/egress/egress.ts";
import { tunnel } from "../../../parent/listening/tunnel.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { closed, codeOf, collect, digest, pattern, send } from "../../transport/streams.ts";
import { connect, echo, lived, proxy, transport, turns, until, upstream } from "../fixture.ts";

describe("a tunnel", () => {
  async function tunnelTo(
    onConnection: (socket: Duplex) => void,
    options: Partial<EgressOptions> = {},
  ): Promise<Duplex> {
    const port = await upstream(onConnection);
    const hosts = { "echo.test:443": `127.0.0.1:${port}` };
    return (await proxy({ allowlist: ["echo.test:443"], hosts, ...options })).through("echo.test", 443);
  }

  test("R21: half-close, and 16 MiB come back after it", async () => {
    const answer = pattern(16 * 1_048_576);
    let far: Duplex | undefined;
    const socket = await tunnelTo((accepted) => {
      far = accepted;
    });
    socket.end("question");
    while (!far) await new Promise(setImmediate);
    expect((await collect(far)).toString()).toBe("question");
    const [got] = await Promise.all([collect(socket), send(far, answer).then(() => far?.end())]);
    expect(digest(got)).toBe(digest(answer));
  });

  test("R21: half-close the other way: the server ends first, the enclave goes on", async () => {
    const sent = pattern(16 * 1_048_576);
    let received: Promise<Buffer> | undefined;
    const socket = await tunnelTo((far) => {
      far.end("bye");
      received = collect(far);
    });
    expect((await collect(socket)).toString()).toBe("bye");
    await send(socket, sent);
    socket.end();
    expect(digest((await received) ?? Buffer.alloc(0))).toBe(digest(sent));
  });

  test("A20: both ends flood through the proxy before they read", async () => {
    const [a, b] = [pattern(16 * 1_048_576, 1), pattern(16 * 1_048_576, 2)];
    let far: Duplex | undefined;
    const near = await tunnelTo((socket) => {
      far = socket;
    });
    while (!far) await new Promise(setImmediate);
    const sending = [send(near, a).then(() => near.end()), send(far, b).then(() => far?.end())];
    while (!near.writableNeedDrain || !far.writableNeedDrain) await new Promise(setImmediate);
    const [atNear, atFar] = await Promise.all([collect(near), collect(far)]);
    await Promise.all(sending);
    expect([digest(atNear), digest(atFar)]).toEqual([digest(b), digest(a)]);
  });

  test("R22: a server that does not read stops the sender; little is held in between", async () => {
    let tapped = 0;
    let far: Duplex | undefined;
    const near = await tunnelTo(
      (socket) => {
        far = socket;
      },
      { tap: (_, direction, bytes) => (tapped += direction === "from-enclave" ? bytes.length : 0) },
    );
    const bytes = pattern(64 * 1_048_576);
    const sending = send(near, bytes).then(() => near.end());
    let before = -1;
    while (tapped !== before || !near.writableNeedDrain) {
      before = tapped;
      await turns(200);
    }
    // What the kernel's buffers take, and no growth in the proxy.
    expect(tapped).toBeLessThan(16 * 1_048_576);
    const [got] = await Promise.all([collect(far as Duplex), sending]);
    expect(digest(got)).toBe(digest(bytes));
  });

  test("R18: the server resets, the enclave's side ends, and the proxy lives", async () => {
    const port = await upstream((far) => far.once("data", () => (far as import("node:net").Socket).resetAndDestroy()));
    const echoPort = await echo();
    const hosts = { "echo.test:443": `127.0.0.1:${port}`, [`echo.test:${echoPort}`]: `127.0.0.1:${echoPort}` };
    const under = await proxy({ allowlist: Object.keys(hosts), hosts });
    const socket = await under.through("echo.test", 443);
    const ended = once(socket.resume(), "end");
    socket.write("x");
    await ended;
    await lived(under, echoPort);
  });

  test("the enclave vanishes: the server's side is closed", async () => {
    let far: Duplex | undefined;
    const near = await tunnelTo((socket) => {
      far = socket.resume();
    });
    while (!far) await new Promise(setImmediate);
    near.destroy();
    await Promise.race([once(far, "end"), once(far, "close")]);
  });

  test("the proxy closes: the server's side is closed too", async () => {
    let far: Duplex | undefined;
    const port = await upstream((socket) => {
      far = socket.resume();
    });
    const under = await proxy({ allowlist: ["echo.test:443"], hosts: { "echo.test:443": `127.0.0.1:${port}` } });
    const near = await under.through("echo.test", 443);
    await until(() => far !== undefined);
    const ended = Promise.race([once(far as Duplex, "end"), once(far as Duplex, "close")]);
    near.resume().once("end", () => near.end());
    await under.service.close();
    await ended;
  });

  test("a server that is done and gone does not cut short what the enclave has yet to take", async () => {
    const taken: string[] = [];
    let release: () => void = () => {};
    const enclaveSide = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        release = () => {
          taken.push(chunk.toString());
          done();
        };
      },
      final(done) {
        taken.push("end");
        done();
      },
    });
    const outside = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const over = tunnel(enclaveSide, outside, { connectionId: "t", idleTimeoutMs: 60_000 });
    enclaveSide.push(null);
    outside.push("last words");
    outside.push(null);
    await closed(outside);
    await turns(10);
    expect([enclaveSide.destroyed, taken]).toEqual([false, []]);
    release();
    await over;
    expect(taken).toEqual(["last words", "end"]);
  });

  test("a tunnel that is over leaves no timer", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
    const under = await proxy({ allowlist: Object.keys(hosts), hosts });
    await lived(under, port);
    await until(() => under.service.stats().open === 0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("R19: ten minutes of silence end both sides; a byte in between starts them anew", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let far: Duplex | undefined;
    const near = await tunnelTo((socket) => {
      far = socket;
    });
    while (!far) await new Promise(setImmediate);
    vi.advanceTimersByTime(599_999);
    near.write("x");
    await once(far, "data");
    vi.advanceTimersByTime(599_999);
    await turns(5);
    expect([near.destroyed, far.destroyed]).toEqual([false, false]);
    vi.advanceTimersByTime(1);
    await Promise.all([once(near.resume(), "end"), once(far.resume(), "end")]);
  });

  test("R23: one connection too many is closed, and the next finds room", async () => {
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
    const limits = { maxConnections: 2, maxWaiting: 0 };
    const under = await proxy({ allowlist: Object.keys(hosts), hosts, limits });
    const first = await under.through("echo.test", port);
    const second = await under.through("echo.test", port);
    expect(await codeOf(under.through("echo.test", port))).toBe("ERR_TRANSPORT_CLOSED");
    expect(under.service.stats()).toMatchObject({ open: 2, full: 1 });
    first.end();
    await closed(first.resume());
    while (under.service.stats().open > 1) await new Promise(setImmediate);
    await lived(under, port);
    second.destroy();
  });

  test("R22: against a reader that takes nothing, a direction holds what Node reads twice: 128 KiB", async () => {
    let given = 0;
    const from = new Duplex({
      read() {
        // As a socket does: whole reads of 64 KiB, without asking how much fits.
        setImmediate(() => this.push(Buffer.alloc(65_536)) || (given += 1));
        given += 1;
      },
      write: (_chunk, _encoding, done) => done(),
    });
    const stuck = new Duplex({ read() {}, write() {} });
    const traffic = { bytesFromEnclave: 0, bytesToEnclave: 0 };
    const over = tunnel(from, stuck, { connectionId: "t", idleTimeoutMs: 60_000, traffic });
    await turns(50);
    expect(given).toBeGreaterThan(1);
    expect(stuck.writableLength + from.readableLength).toBeLessThanOrEqual(131_072);
    expect(traffic).toEqual({ bytesFromEnclave: stuck.writableLength, bytesToEnclave: 0 });
    stuck.destroy();
    await over;
    expect(from.destroyed).toBe(true);
  });

  test("F14: 200 failures of every kind leave the proxy serving and nothing open", async () => {
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}`, "dead.test:443": "127.0.0.1:1" };
    const under = await proxy({ allowlist: Object.keys(hosts), hosts });
    const kinds = [connect("dead.test:443"), connect("no.test:1"), "garbage\r\n\r\n", connect(`echo.test:${port}`)];
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const socket = await transport.connect(addressOf(under.parent, EGRESS_PORT));
        socket.write(kinds[i % 4] ?? "");
        if (i % 3 === 0) await once(socket.resume(), "data").catch(() => {});
        socket.destroy();
      }),
    );
    await lived(under, port);
    while (under.service.stats().open > 0) await new Promise(setImmediate);
  });
});
