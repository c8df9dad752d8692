/**
 * The enclave's HTTP server against clients that are slow, large, many or malformed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Handler, type ServeLimits, serveHttp } from "../../enclave/http.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";
import type { Listener } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/index.ts";

const transport = createTransport();
let folder: string;
let address: Address;
let listener: Listener | undefined;
let faults: unknown[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "http-"));
  address = { kind: "unix", path: join(folder, "s") };
  faults = [];
});

afterEach(async () => {
  await listener?.close();
  rmSync(folder, { recursive: true });
});

async function serve(handler: Handler, limits: ServeLimits = {}): Promise<void> {
  const onInternalError = (error: unknown): void => void faults.push(error);
  listener = await serveHttp({ transport, address, handler, onInternalError, limits });
}

/** Everything that comes back until the connection closes. */
async function read(socket: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once("close", resolve).once("end", resolve));
  return Buffer.concat(chunks).toString();
}

async function send(text: string): Promise<string> {
  const socket = await transport.connect(address);
  socket.write(text);
  return read(socket);
}

const post = (body: string, path = "/"): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const echo: Handler = async (request) => Response.json({ url: request.url, body: await request.text() });

describe("serveHttp", () => {
  test("answers, and the authority is its own whatever the request says", async () => {
    await serve(echo);
    expect(await send(post("hello", "/a?b=c"))).toContain('{"url":"http://enclave/a?b=c","body":"hello"}');
    for (const path of ["//evil.example/x", "http://evil.example/x", "/\\evil.example"]) {
      expect(await send(post("", path)), path).toMatch(/"url":"http:\/\/enclave\//);
    }
  });

  test("closes a connection whose head does not come in time", async () => {
    await serve(echo, { headersTimeoutMs: 100 });
    const socket = await transport.connect(address);
    socket.write("POST / HTTP/1.1\r\nHost: x\r\n");
    expect(await read(socket)).toMatch(/^HTTP\/1.1 408/);
  });

  test("closes a request whose body does not come in time, and is then free for others", async () => {
    await serve(echo, { headersTimeoutMs: 100, requestTimeoutMs: 200, concurrencyMax: 1 });
    const stalled = await transport.connect(address);
    stalled.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal");
    await read(stalled);
    expect(await send(post("next"))).toContain('"body":"next"');
  });

  test("closes a connection that does not read its answer, and is then free for others", async () => {
    const big: Handler = async (request) => new Response("x".repeat((await request.text()) === "big" ? 8_000_000 : 1));
    await serve(big, { requestTimeoutMs: 100, connectionsMax: 1 });
    const deaf = await transport.connect(address);
    deaf.on("error", () => undefined).write(post("big"));
    await expect.poll(() => send(post("small")), { timeout: 10_000 }).toMatch(/^HTTP\/1.1 200/);
    deaf.destroy();
  });

  test("takes a body in many small chunks", async () => {
    await serve(echo);
    const chunks = "1\r\nx\r\n".repeat(3_000);
    const answer = await send(
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    );
    expect(answer).toContain(`"body":"${"x".repeat(3_000)}"`);
  });

  test.each([0, -1, Number.NaN, 1.5])("a limit of %d is a mistake", async (bodyMax) => {
    await expect(serve(echo, { bodyMax })).rejects.toThrow(RangeError);
  });

  test("refuses a body that is announced too large, and one that grows too large", async () => {
    await serve(echo, { bodyMax: 10 });
    expect(await send(post("x".repeat(11)))).toMatch(/^HTTP\/1.1 413/);
    const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nxxxxxxxxxxx\r\n0\r\n\r\n";
    expect(await send(chunked)).toMatch(/^HTTP\/1.1 413/);
    expect(await send(post("x".repeat(10)))).toMatch(/^HTTP\/1.1 200/);
  });

  test("holds a bounded number of bytes over all requests", async () => {
    await serve(echo, { bodyMax: 10, bodiesMax: 15 });
    const first = await transport.connect(address);
    first.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxxxxxxxx");
    await expect.poll(() => send(post("x".repeat(10)))).toMatch(/^HTTP\/1.1 503/);
    first.destroy();
    await expect.poll(() => send(post("x".repeat(10)))).toMatch(/^HTTP\/1.1 200/);
  });

  test("keeps a bounded number of connections", async () => {
    await serve(echo, { connectionsMax: 2 });
    const open = [await transport.connect(address), await transport.connect(address)];
    const third = await transport.connect(address);
    expect(await read(third)).toBe("");
    for (const socket of open) socket.destroy();
    await expect.poll(() => send(post("x")).catch(() => "")).toMatch(/^HTTP\/1.1 200/);
  });

  test("ends open connections when it closes", async () => {
    await serve(echo);
    const socket = await transport.connect(address);
    socket.write("POST / HTTP/1.1\r\n");
    const ended = read(socket);
    await new Promise((resolve) => setImmediate(resolve));
    await listener?.close();
    listener = undefined;
    expect(await ended).toBe("");
  });

  test("gives a refusal as data and any other error as nothing but a code", async () => {
    const secret = "canary-in-error";
    await serve(async (request) => {
      if (new URL(request.url).pathname === "/bug") throw new Error(secret);
      throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "nonce", expected: "bytes" });
    });
    expect(await send(post("", "/"))).toMatch(/^HTTP\/1.1 400[\s\S]*"code":"ERR_CONFIG_FIELD_MISSING"/);
    const bug = await send(post("", "/bug"));
    expect(bug).toMatch(/^HTTP\/1.1 500[\s\S]*"code":"ERR_INTERNAL"/);
    expect(bug).not.toContain(secret);
    expect(faults.length).toBe(1);
  });

  test("a client that goes away, and a method it does not serve, are no internal errors", async () => {
    await serve(echo);
    expect(await send("TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1.1 405/);
    const socket = await transport.connect(address);
    socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal");
    socket.destroy();
    expect(await send(post("x"))).toMatch(/^HTTP\/1.1 200/);
    expect(faults).toEqual([]);
  });

  test("refuses a message that two readers could understand differently", async () => {
    await serve(echo);
    const smuggling = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX";
    expect(await send(smuggling)).toMatch(/^HTTP\/1.1 400/);
  });
});
