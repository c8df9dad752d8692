/** The endpoint for an operator's tools. */
import { statSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect as connectSocket, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import {
  type HealthOptions,
  type HealthReport,
  type HealthServer,
  startHealth,
} from "../../../parent/observability/health.ts";
import type { Address } from "../../../shared/transport/address.ts";
import { closed } from "../../transport/streams.ts";
import { cleanups, freshPeer } from "../fixture.ts";

const LOOPBACK: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };
const METRICS = { contentType: "text/plain; version=0.0.4; charset=utf-8", text: async () => "figures 1\n" };

async function start(options: Partial<HealthOptions> = {}): Promise<HealthServer> {
  const health = (): HealthReport => ({ live: true, ready: true, facts: {} });
  const server = await startHealth({ listen: LOOPBACK, metrics: METRICS, health, ...options });
  cleanups.push(() => server.close());
  return server;
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function placeOf({ address }: HealthServer): { port: number } | { socketPath: string } {
  if (address.kind === "tcp") return { port: address.port };
  if (address.kind === "unix") return { socketPath: address.path };
  throw new TypeError("neither tcp nor unix");
}

function ask(server: HealthServer, path: string, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ ...placeOf(server), host: "127.0.0.1", path, method, agent: false }, (incoming) => {
      text(incoming).then((body) => resolve({ status: incoming.statusCode, headers: incoming.headers, body }), reject);
    });
    asking.on("error", reject).end();
  });
}

async function dialled(server: HealthServer): Promise<Socket> {
  const place = placeOf(server);
  const socket = "port" in place ? connectSocket(place.port, "127.0.0.1") : connectSocket(place.socketPath);
  cleanups.push(() => socket.destroy());
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

async function raw(server: HealthServer, bytes: string): Promise<string> {
  const socket = await dialled(server);
  socket.on("error", () => {});
  socket.write(bytes);
  return text(socket).catch(() => "");
}

describe("the health endpoint", () => {
  test("/metrics gives the text with its type", async () => {
    const { status, headers, body } = await ask(await start(), "/metrics");
    expect([status, headers["content-type"], body]).toEqual([200, METRICS.contentType, "figures 1\n"]);
    expect(headers["connection"]).toBe("close");
  });

  test.each([
    [{ live: true, ready: true }, 200, 200],
    [{ live: true, ready: false }, 200, 503],
    [{ live: false, ready: true }, 503, 503],
  ])("%j: /healthz %i, /readyz %i", async (state, healthz, readyz) => {
    const server = await start({ health: () => ({ ...state, facts: { enclave: "down", restarts: 2 } }) });
    const [alive, ready] = [await ask(server, "/healthz"), await ask(server, "/readyz")];
    expect([alive.status, ready.status]).toEqual([healthz, readyz]);
    expect(JSON.parse(ready.body)).toEqual({ ...state, facts: { enclave: "down", restarts: 2 } });
  });

  test("HEAD has the same head and no body", async () => {
    const { status, headers, body } = await ask(await start(), "/metrics", "HEAD");
    expect([status, headers["content-length"], body]).toEqual([200, "10", ""]);
  });

  test("over a Unix socket, which only its owner may use", async () => {
    const peer = freshPeer();
    const path = `${peer.kind === "unix" ? peer.folder : ""}/health.sock`;
    const server = await start({ listen: { kind: "unix", path } });
    expect((await ask(server, "/healthz")).status).toBe(200);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])("%s is refused", async (method) => {
    const { status, headers, body } = await ask(await start(), "/metrics", method);
    expect([status, headers["allow"], body]).toEqual([405, "GET, HEAD", ""]);
  });

  test.each(["/", "/metrics/", "/metrics?x=1", "//metrics", "/%6detrics", "/healthz/../metrics", "/debug"])(
    "%s is not there",
    async (path) => {
      expect(await ask(await start(), path)).toMatchObject({ status: 404, body: "" });
    },
  );

  test.each([
    ["a body with a length", "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "400"],
    ["a body in chunks", "GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"],
    ["what is no HTTP", "canary-canary\r\n\r\n", "400"],
    ["a head of more than 8 KiB", `GET /metrics HTTP/1.1\r\nHost: a\r\nX-A: ${"x".repeat(9_000)}\r\n\r\n`, "431"],
    ["no Host", "GET /metrics HTTP/1.1\r\n\r\n", "400"],
  ])("%s is refused", async (_, bytes, status) => {
    const answer = await raw(await start(), bytes);
    expect(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]).toBe(status);
    expect(answer).not.toContain("figures");
  });

  test.each(["CONNECT a.test:443", "GET /metrics"])("%s is not upgraded", async (line) => {
    const upgrade = line.startsWith("GET") ? "Connection: Upgrade\r\nUpgrade: canary\r\n" : "";
    const answer = await raw(await start(), `${line} HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`);
    expect(answer).not.toMatch(/canary|HTTP\/1\.1 (101|200 Conn)/);
    expect(answer === "").toBe(line.startsWith("CONNECT"));
  });

  test("R29: nothing of a request comes back", async () => {
    const server = await start();
    const canary = "canary-in-a-request";
    for (const [line, head] of [
      [`GET /${canary}`, canary],
      [`GET /metrics?${canary}`, canary],
      [`${canary} /metrics`, canary],
      ["GET /metrics", `a\r\nOrigin: ${canary}\r\nX-Forwarded-For: ${canary}\r\nCookie: ${canary}`],
      ["GET /metrics", `a\r\nBroken ${canary}`],
    ]) {
      expect(await raw(server, `${line} HTTP/1.1\r\nHost: ${head}\r\n\r\n`)).not.toContain(canary);
    }
  });

  test("G06: a fault behind it tells nothing but that there is one", async () => {
    const fail = (): never => {
      throw new Error("canary-in-a-fault");
    };
    const server = await start({ health: fail, metrics: { ...METRICS, text: async () => fail() } });
    for (const path of ["/metrics", "/healthz", "/readyz"]) {
      expect(await ask(server, path)).toMatchObject({ status: 500, body: "" });
    }
  });

  test("V02: whoever does not ask, and whoever sends byte by byte, is cut off at the deadline", async () => {
    const server = await start({ deadlineMs: 50 });
    const silent = await dialled(server);
    const slow = await dialled(server);
    slow.on("error", () => {});
    const drip = setInterval(() => slow.write("G"), 5);
    await Promise.all([closed(silent.resume()), closed(slow.resume())]);
    clearInterval(drip);
    expect((await ask(server, "/healthz")).status).toBe(200);
  });

  test("so many connections at once, and a place is free again when one ends", async () => {
    const server = await start({ maxConnections: 2 });
    const held = [await dialled(server), await dialled(server)];
    const turnedAway = await dialled(server);
    await closed(turnedAway.resume().on("error", () => {}));
    held[0]?.end();
    await closed(held[0]?.resume() ?? turnedAway);
    expect((await ask(server, "/healthz")).status).toBe(200);
  });

  test("one request a connection", async () => {
    const line = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    const answer = await raw(await start(), line + line);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });

  test("never beyond this host", async () => {
    await expect(start({ listen: { kind: "tcp", host: "0.0.0.0", port: 0 } })).rejects.toMatchObject({
      code: "ERR_TRANSPORT_ADDRESS_INVALID",
    });
    await expect(start({ listen: { kind: "vsock", cid: 3, port: 9_000 } })).rejects.toThrow(TypeError);
  });

  test("after close nobody answers, and what was open is over", async () => {
    const server = await start();
    const socket = await dialled(server);
    await server.close();
    await closed(socket.resume());
    await expect(ask(server, "/healthz")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});
