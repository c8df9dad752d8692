/** Hybrid vsock: what a monitor may answer, and where a guest's own dials arrive. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import { createTransport } from "../../transport/create.ts";
import { createHybridTransport } from "../../transport/hybrid.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { codeOf, collect, scratchFolder, take } from "./streams.ts";

const folder = scratchFolder();
const transport = createHybridTransport();
const servers: Server[] = [];
let monitors = 0;
afterEach(() => {
  vi.useRealTimers();
  for (const server of servers.splice(0)) server.close();
});

/** A monitor that does with a connection what the test says, once it has the request. */
async function monitor(answer: (socket: Socket, request: string) => void): Promise<Address> {
  const path = join(folder, `${++monitors}`);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (request) => answer(socket, String(request)));
  });
  servers.push(server.listen(path));
  await new Promise((resolve) => server.once("listening", resolve));
  expect(server.address() as AddressInfo | string).toBe(path);
  return { kind: "hybrid", path, port: 8080 };
}

const outcome = (error: { code: string; details: { reason?: string } }): string =>
  [error.code, error.details.reason].filter(Boolean).join(" ");
const INVALID = "ERR_TRANSPORT_HYBRID_INVALID";

describe("what a monitor answers", () => {
  test.each([
    ["OK 1073741824\n", "", "a number"],
    ["OK 0\n", "", "the smallest"],
    ["OK 4294967295\n", "first words", "the guest speaks first, in the same packet"],
    ["OK 7\n", "x".repeat(200_000), "the guest says more than a buffer holds"],
  ])("%j is taken, and nothing after it is lost: %#", async (line, first) => {
    const address = await monitor((socket, request) => {
      expect(request).toBe("CONNECT 8080\n");
      socket.end(line + first);
    });
    const socket = await transport.connect(address);
    expect((await collect(socket)).toString()).toBe(first);
    socket.destroy();
  });

  test("an answer that comes byte by byte is taken", async () => {
    const address = await monitor((socket) => {
      void (async () => {
        for (const byte of "OK 12\nhello") {
          socket.write(byte);
          await new Promise(setImmediate);
        }
        socket.end();
      })();
    });
    const socket = await transport.connect(address);
    expect(String(await take(socket, 5))).toBe("hello");
    socket.destroy();
  });

  test("the end together with the answer is seen by who listens for it later", async () => {
    const socket = await transport.connect(await monitor((peer) => void peer.end("OK 1\n")));
    await new Promise((resolve) => socket.resume().once("end", resolve));
    socket.destroy();
  });

  test.each([
    ["nothing, and the end", "", "ERR_TRANSPORT_UNREACHABLE ECONNRESET"],
    ["a cut line", "OK 1", INVALID],
    ["an error", "ERR 1\n", INVALID],
    ["no number", "OK \n", INVALID],
    ["a number with a sign", "OK -1\n", INVALID],
    ["a number with a leading zero", "OK 01\n", INVALID],
    ["two numbers", "OK 1 2\n", INVALID],
    ["a carriage return", "OK 1\r\n", INVALID],
    ["another case", "ok 1\n", INVALID],
    ["an empty line", "\n", INVALID],
    ["a line of 14 bytes", "OK 42949672950\n", INVALID],
    ["HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", INVALID],
  ])("%s is refused", async (_, answer, expected) => {
    const address = await monitor((socket) => void socket.end(answer));
    expect(await transport.connect(address).catch(outcome)).toBe(expected);
  });

  test("a line without end is refused when it is too long, not when it is over", async () => {
    let sent = 0;
    const address = await monitor((socket) => {
      const more = (): void => {
        sent++;
        if (!socket.destroyed) socket.write("O".repeat(1_000), more);
      };
      more();
    });
    expect(await codeOf(transport.connect(address))).toBe(INVALID);
    expect(sent).toBeLessThan(10_000);
  });

  test("a monitor that does not answer: the deadline is that of the whole attempt", async () => {
    let asked: () => void = () => {};
    const request = new Promise<void>((resolve) => (asked = resolve));
    const address = await monitor(() => asked());
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const attempt = codeOf(transport.connect(address, { timeoutMs: 250 }));
    await request;
    vi.advanceTimersByTime(250);
    expect(await attempt).toBe("ERR_TRANSPORT_TIMEOUT");
  });

  test("a signal ends the wait for the answer, and the monitor sees the end", async () => {
    const controller = new AbortController();
    const reason = new Error("not wanted");
    let seen: Promise<unknown> | undefined;
    const address = await monitor((socket) => {
      seen = new Promise((resolve) =>
        socket
          .once("close", resolve)
          .resume()
          .once("end", () => socket.end()),
      );
      controller.abort(reason);
    });
    await expect(transport.connect(address, { signal: controller.signal })).rejects.toBe(reason);
    await seen;
  });
});

describe("hybrid addresses", () => {
  test("what a guest dials at CID 2 arrives on the path with the port after it", async () => {
    const path = join(folder, "vm");
    await using listener = await transport.listen({ kind: "hybrid", path, port: 9000 }, (socket) =>
      socket.end("heard"),
    );
    expect(listener.address).toEqual({ kind: "hybrid", path, port: 9000 });
    const guest = await createUnixTransport().connect({ kind: "unix", path: `${path}_9000` });
    expect((await collect(guest)).toString()).toBe("heard");
    guest.destroy();
  });

  test("createTransport takes them", async () => {
    const socket = await createTransport().connect(await monitor((peer) => void peer.end("OK 1\nhello")));
    expect((await collect(socket)).toString()).toBe("hello");
    socket.destroy();
  });

  test.each([
    ["V15: port -1", -1, RangeError],
    ["V15: port 1.5", 1.5, RangeError],
    ["V15: port 2^32", 2 ** 32, RangeError],
    ["V15: port as text", "8000" as unknown as number, TypeError],
  ])("%s is a mistake", async (_, port, mistake) => {
    const address: Address = { kind: "hybrid", path: join(folder, "none"), port };
    await expect(transport.connect(address)).rejects.toBeInstanceOf(mistake);
    await expect(transport.listen(address, () => {})).rejects.toBeInstanceOf(mistake);
  });

  test("another driver's address is a mistake, a path too long is refused", async () => {
    await expect(transport.connect({ kind: "unix", path: "/x" })).rejects.toBeInstanceOf(TypeError);
    const path = `/${"x".repeat(200)}`;
    expect(await codeOf(transport.connect({ kind: "hybrid", path, port: 1 }))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });
});
