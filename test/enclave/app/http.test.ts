/**
 * The enclave's HTTP server against clients that are slow, large, many or malformed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Handler, type HttpServer, type ServeLimits, serveHttp } from "../../../enclave/app/http.ts";
import type { ServerTls } from "../../../enclave/app/server-tls.ts";
import { ConfigError } from "../../../shared/errors/index.ts";
import type { Address } from "../../../shared/transport/address.ts";
import { createTransport } from "../../../transport/index.ts";

const transport = createTransport();
let folder: string;
let address: Address;
let listener: HttpServer | undefined;
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

/** Asks until it is answered. */
async function serveAgain(text: string): Promise<void> {
  while (!(await send(text)).startsWith("HTTP/1.1 200")) await new Promise(setImmediate);
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

  test("a request that waits behind another on its connection gives its place back when the client leaves", async () => {
    const aborted: string[] = [];
    const slow: Handler = (request) => {
      const { pathname } = new URL(request.url);
      request.signal.addEventListener("abort", () => aborted.push(pathname));
      if (pathname === "/free") return new Response("free");
      return request.text().then(
        () =>
          new Promise<Response>((resolve) => {
            request.signal.addEventListener("abort", () => resolve(new Response("x".repeat(100_000))));
          }),
      );
    };
    await serve(slow, { concurrencyMax: 2, bodiesMax: 1_000, bodyMax: 1_000 });
    const socket = await transport.connect(address);
    socket.on("error", () => undefined);
    socket.write(`GET /first HTTP/1.1\r\nHost: x\r\n\r\n${post("x".repeat(900), "/second")}`);
    while ((await send(post("", "/free"))).includes("free")) await new Promise(setImmediate);
    socket.destroy();
    while (aborted.filter((path) => path !== "/free").length < 2) await new Promise(setImmediate);
    // Both places, and the 900 bytes.
    await serveAgain(post("y".repeat(900), "/free"));
    expect(aborted.filter((path) => path !== "/free").toSorted()).toEqual(["/first", "/second"]);
    expect(faults).toEqual([]);
  });

  test("what is read of a body after the answer is refused, since nobody would give it back", async () => {
    let late: Promise<unknown> = Promise.resolve();
    const early: Handler = async (request) => {
      const reader = request.body?.getReader();
      await reader?.read();
      late = new Promise((resolve) => setTimeout(resolve, 20)).then(async () => {
        while (!(await reader?.read())?.done);
      });
      late.catch(() => undefined);
      return new Response(null, { status: 202 });
    };
    await serve(early, { bodiesMax: 200_000, bodyMax: 200_000 });
    for (let i = 0; i < 4; i++) {
      expect(await send(post("z".repeat(150_000)))).toMatch(/^HTTP\/1.1 202/);
      await late.catch(() => undefined);
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

describe("bodies as streams", () => {
  const flow = (chunk: Uint8Array, given: { count: number }, count = Number.POSITIVE_INFINITY) =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        if (given.count++ >= count) controller.close();
        else controller.enqueue(chunk);
      },
    });

  test("the first part of a request is answered before its last has come", async () => {
    await serve(async (request) => {
      const reader = request.body?.getReader();
      const first = await reader?.read();
      return new Response(first?.value as Uint8Array<ArrayBuffer>);
    });
    const socket = await transport.connect(address);
    socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    const answer = await read(socket);
    expect(answer).toMatch(/^HTTP\/1.1 200[\s\S]*half/);
    // What was not read of the body must not be taken for a request.
    expect(answer).toMatch(/^connection: close/im);
  });

  test("an answer is made as fast as its client reads, and no faster", async () => {
    const given = { count: 0 };
    await serve(async () => new Response(flow(new Uint8Array(65_536), given)));
    const socket = await transport.connect(address);
    socket.on("error", () => undefined).write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let before = -1;
    await expect
      .poll(() => {
        const isStill = before === given.count && given.count > 0;
        before = given.count;
        return isStill;
      })
      .toBe(true);
    expect(given.count).toBeLessThan(200);
    socket.destroy();
  });

  test("a request that is not read makes its client wait, and a streaming handler holds one chunk", async () => {
    let size = 0;
    await serve(async (request) => {
      for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) size += chunk.length;
      return new Response("done");
    });
    const body = "x".repeat(5_000_000);
    expect(await send(post(body))).toMatch(/^HTTP\/1.1 200/);
    expect(size).toBe(body.length);
  });

  test("an answer that fails half-way is no whole answer", async () => {
    const given = { count: 0 };
    const failing = async function* () {
      yield new Uint8Array(10);
      given.count++;
      throw new Error("canary");
    };
    await serve(async () => new Response(ReadableStream.from(failing())));
    const answer = await send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(given.count).toBe(1);
    expect(answer).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(answer).not.toContain("canary");
    expect(faults.length).toBe(1);
  });

  test("an answer of another length than it names is cut, not passed on", async () => {
    await serve(async () => new Response("long text", { headers: { "content-length": "4" } }));
    expect(await send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).not.toContain("long text");
    expect(faults.length).toBe(1);
  });

  test("a handler hears that its client has gone", async () => {
    let heard: (reason: unknown) => void = () => {};
    let begun: () => void = () => {};
    const gone = new Promise((resolve) => {
      heard = resolve;
    });
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    await serve(async (request) => {
      begun();
      await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
      heard(request.signal.reason);
      throw request.signal.reason;
    });
    const socket = await transport.connect(address);
    socket.on("error", () => undefined).write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await started;
    socket.destroy();
    expect(await gone).toMatchObject({ name: "AbortError" });
    expect(faults).toEqual([]);
  });
});

describe("an answer's head", () => {
  test("keeps each cookie, and leaves the connection to the server", async () => {
    await serve(async () => {
      const headers = new Headers({ connection: "keep-alive", "transfer-encoding": "identity", "x-own": "kept" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response("x", { headers });
    });
    const answer = await send(post(""));
    expect(answer.match(/^set-cookie: (a=1|b=2)\r$/gim)?.length).toBe(2);
    expect(answer).toMatch(/^x-own: kept/im);
    expect(answer).not.toMatch(/identity/i);
    expect(answer).toMatch(/^connection: close/im);
  });

  test("HEAD has one and no body; a question keeps its later question marks", async () => {
    await serve(async (request) => new Response(new URL(request.url).search));
    expect(await send("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toMatch(/\r\n\r\n$/);
    expect(await send("GET /?a=b?c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toContain("?a=b?c");
  });

  test("something else than a Response is an internal error", async () => {
    await serve((async () => ({ status: 200 })) as never);
    expect(await send(post(""))).toMatch(/^HTTP\/1.1 500/);
    expect(faults[0]).toBeInstanceOf(TypeError);
  });
});

describe("TLS inside", () => {
  test("a connection whose handshake fails is closed, and nothing of it is read as HTTP", async () => {
    const onInternalError = (error: unknown): void => void faults.push(error);
    let asked = 0;
    const handler: Handler = () => {
      asked++;
      return new Response("x");
    };
    const tls: ServerTls = {
      accept: () => Promise.reject(new Error("no handshake")),
      handle: async () => undefined,
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    listener = await serveHttp({ transport, address, handler, onInternalError, tls });
    expect(await send(post("x"))).toBe("");
    expect(asked).toBe(0);
  });

  test("what belongs to TLS is answered before the application, by the connection it came by", async () => {
    const onInternalError = (error: unknown): void => void faults.push(error);
    const seen: unknown[] = [];
    const tls: ServerTls = {
      // Stands for a handshake: the same bytes, another object.
      accept: async (socket) => socket as never,
      handle: async (request, socket) => {
        seen.push(socket);
        return new URL(request.url).pathname === "/own" ? new Response("of TLS") : undefined;
      },
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    listener = await serveHttp({ transport, address, handler: () => new Response("of the app"), onInternalError, tls });
    expect(await send(post("", "/own"))).toContain("of TLS");
    expect(await send(post("", "/other"))).toContain("of the app");
    expect(seen.length).toBe(2);
    expect(seen[0]).not.toBe(seen[1]);
  });
});
