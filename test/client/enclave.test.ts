/**
 * The client against servers that are slow, endless, or not what they should be.
 */

import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createEnclaveClient } from "../../client/enclave.ts";

let server: Server | undefined;
afterEach(() => server?.close());

async function clientOf(onRequest: (socket: Socket) => void, timeoutMs = 2_000) {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => onRequest(socket));
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return createEnclaveClient({ address: { kind: "tcp", host: "127.0.0.1", port }, timeoutMs });
}

const json = (value: unknown, status = "200 OK"): string => {
  const body = JSON.stringify(value);
  return `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
};

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "answered",
    (error: unknown) => (error as { code: string }).code,
  );
}

describe("an enclave client", () => {
  test("gives up at its deadline on a server that says nothing", async () => {
    const client = await clientOf(() => undefined, 100);
    expect(await codeOf(client.ask("/x"))).toBe("ERR_TRANSPORT_TIMEOUT");
  });

  test("gives up at its deadline on a server that drips", async () => {
    const timers: NodeJS.Timeout[] = [];
    const client = await clientOf((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
      timers.push(setInterval(() => socket.write("x"), 20));
    }, 200);
    expect(await codeOf(client.ask("/x"))).toBe("ERR_TRANSPORT_TIMEOUT");
    for (const timer of timers) clearInterval(timer);
  });

  test.each([
    ["an upgrade", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
    ["an answer cut short", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"],
    ["no HTTP", "hello\r\n\r\n"],
    ["nothing", ""],
    ["an answer that is none", json([1, 2, 3])],
    ["an answer whose result is an array", json({ result: ["x"], signature: "", document: "" })],
  ])("refuses %s", async (_, answer) => {
    const client = await clientOf((socket) => socket.end(answer));
    expect(await codeOf(client.ask("/x"))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("refuses an answer without end", async () => {
    const client = await clientOf((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const flood = (): void => {
        while (socket.writable && socket.write(`10000\r\n${"x".repeat(65_536)}\r\n`));
      };
      socket.on("drain", flood);
      flood();
    });
    expect(await codeOf(client.ask("/x"))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("takes a refusal as data, and a code that is none as nobody's", async () => {
    const known = await clientOf((socket) =>
      socket.end(json({ code: "ERR_DATA_MISSING", message: "m", details: {} }, "400 Bad")),
    );
    expect(await codeOf(known.ask("/x"))).toBe("ERR_DATA_MISSING");
    server?.close();
    const odd = await clientOf((socket) =>
      socket.end(json({ code: "__proto__", message: "\u001b[31m", details: 1 }, "400 Bad")),
    );
    const error = await odd.ask("/x").catch((refusal: unknown) => refusal);
    expect(error).toMatchObject({ code: "ERR_REMOTE", kind: "unreachable", message: "?[31m" });
  });

  test("can be aborted", async () => {
    server = createServer(() => undefined);
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const abort = new AbortController();
    const client = createEnclaveClient({ address: { kind: "tcp", host: "127.0.0.1", port }, signal: abort.signal });
    const asking = client.ask("/x");
    abort.abort();
    await expect(asking).rejects.toMatchObject({ name: "AbortError" });
  });

  test("an address where nobody listens is unreachable", async () => {
    const client = createEnclaveClient({ address: { kind: "unix", path: "/nonexistent/socket" } });
    expect(await codeOf(client.load("x", new Uint8Array(1)))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });
});
