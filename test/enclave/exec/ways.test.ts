/**
 * The program's way out and its clients' way in: both pass bytes on as they are, and refuse by name what they can not.
 */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { Duplex } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { startConnectProxy } from "../../../enclave/exec/connect-proxy.ts";
import { forwardTo } from "../../../enclave/exec/forward.ts";
import { createToken } from "../../../enclave/exec/token.ts";
import { TransportError } from "../../../shared/errors/index.ts";
import { codeOf, collect } from "../../transport/streams.ts";
import { cleanup, transport } from "../app/world.ts";

const token = createToken();
const basic = `Proxy-Authorization: Basic ${Buffer.from(token.userinfo).toString("base64")}`;
const head = (...lines: readonly string[]): string => `${lines.join("\r\n")}\r\n\r\n`;
type Connect = (host: string, port: number) => Promise<Duplex>;

/** Somebody outside; gives the proxy's connection to it. */
async function outside(onSocket: (socket: Duplex) => void): Promise<Connect> {
  const listener = await transport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, onSocket);
  cleanup(() => listener.close());
  return () => transport.connect(listener.address);
}

async function dial(connect: Connect): Promise<Duplex> {
  const proxy = await startConnectProxy({ transport, env: { connect }, token });
  cleanup(() => proxy.close());
  const socket = await transport.connect(proxy.address);
  cleanup(() => socket.destroy());
  return socket;
}

async function answerOf(connect: Connect, request: string): Promise<string> {
  const socket = await dial(connect);
  socket.on("error", () => {}).write(request);
  return (await collect(socket)).toString();
}

const refusing =
  (error: Error): Connect =>
  () =>
    Promise.reject(error);
const never: Connect = () => Promise.reject(new TypeError("it was asked to connect"));
const host = "a.example";

describe("the way out", () => {
  test("bytes go both ways, those right behind the head too; the end of one direction leaves the other", async () => {
    const targets: unknown[] = [];
    const echo = await outside((socket) => {
      socket.on("error", () => {});
      void collect(socket).then((all) => socket.end(`got ${all.toString()}`));
    });
    const socket = await dial((...target) => {
      targets.push(target.slice(0, 2));
      return echo(...target);
    });
    socket.write(`${head("CONNECT A.example:443 HTTP/1.1", "Host: a.example:443", basic)}at once, `);
    socket.end("later");
    const [status, body] = (await collect(socket)).toString().split("\r\n\r\n");
    expect(status).toMatch(/^HTTP\/1\.1 200 /);
    expect(body).toBe("got at once, later");
    expect(targets).toEqual([["a.example", 443]]);
  });

  test.each<[string, string, number, string]>([
    ["no token", head("CONNECT a.example:443 HTTP/1.1"), 407, "HTTP_407"],
    ["another token", head("CONNECT a.example:443 HTTP/1.1", "Proxy-Authorization: Basic eDp5"), 407, "HTTP_407"],
    ["the token twice", head("CONNECT a.example:443 HTTP/1.1", basic, basic), 407, "HTTP_407"],
    ["the token for a server", head("CONNECT a.example:443 HTTP/1.1", basic.slice(6)), 407, "HTTP_407"],
    ["plain HTTP", head("GET http://a.example/ HTTP/1.1", basic), 405, "HTTP_405"],
    ["HTTP/2", head("CONNECT a.example:443 HTTP/2", basic), 400, "HTTP_400"],
    ["no port", head("CONNECT a.example HTTP/1.1", basic), 400, "ERR_TRANSPORT_ADDRESS_INVALID"],
    [
      "an address in another spelling",
      head("CONNECT 0x7f.1:443 HTTP/1.1", basic),
      400,
      "ERR_TRANSPORT_ADDRESS_INVALID",
    ],
    ["no header line", head("CONNECT a.example:443 HTTP/1.1", " folded"), 400, "ERR_TRANSPORT_PROXY_INVALID"],
    [
      "more than 8 KiB",
      head("CONNECT a.example:443 HTTP/1.1", `X: ${"x".repeat(8_192)}`),
      400,
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
  ])("is not opened: %s", async (_, request, status, code) => {
    const answer = await answerOf(never, request);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toEqual({ code });
  });

  test.each([
    [new TransportError("ERR_TRANSPORT_HOST_NOT_ALLOWED", { host, port: 443 }), 403, "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    [new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: "x", reason: "x" }), 502, "ERR_TRANSPORT_UNREACHABLE"],
    [new Error("canary"), 502, "HTTP_502"],
  ])("says why it was not opened: %s", async (error, status, code) => {
    const answer = await answerOf(refusing(error), head("CONNECT a.example:443 HTTP/1.1", basic));
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\\{"code":"${code}"\\}$`));
  });

  test("an end of the enclave while it is opened leaves no tunnel behind", async () => {
    const far: Duplex[] = [];
    const reach = await outside((socket) => void far.push(socket.on("error", () => {}).resume()));
    let asked: () => void = () => {};
    let go: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const later = new Promise<void>((resolve) => {
      go = resolve;
    });
    const connect: Connect = async (...target) => {
      asked();
      await later;
      return reach(...target);
    };
    const proxy = await startConnectProxy({ transport, env: { connect }, token });
    const socket = await transport.connect(proxy.address);
    socket.on("error", () => {}).write(head("CONNECT a.example:443 HTTP/1.1", basic));
    await begun;
    await proxy.close();
    go();
    await expect.poll(() => far[0]?.readableEnded).toBe(true);
  });

  test("a program that resets ends the tunnel", async () => {
    let arrived: (socket: Duplex) => void = () => {};
    const far = new Promise<Duplex>((resolve) => {
      arrived = resolve;
    });
    const near = await dial(await outside((socket) => arrived(socket)));
    near.write(head("CONNECT a.example:443 HTTP/1.1", basic));
    await once(near, "data");
    (near as Duplex & { resetAndDestroy(): void }).resetAndDestroy();
    const gone = await far;
    await once(gone.on("error", () => {}).resume(), "end");
  });
});

async function program(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  cleanup(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

describe("the way in", () => {
  test("a request arrives as it is, but for what belongs to the connection", async () => {
    const port = await program((incoming, outgoing) => {
      const { method, url, headers } = incoming;
      void collect(incoming as unknown as Duplex).then((body) => {
        outgoing
          .setHeader("x-kept", "1")
          .setHeader("proxy-authenticate", "Basic")
          .setHeader("set-cookie", ["a=1", "b=2"]);
        outgoing.writeHead(201).end(JSON.stringify({ method, url, headers, body: body.toString() }));
      });
    });
    const headers = { "x-own": "1", te: "trailers", "proxy-authorization": "canary" };
    const init = { method: "PUT", headers, body: "bytes" };
    const response = await forwardTo(port)(new Request("http://enclave/a%2Fb?c=d", init));
    expect(response.status).toBe(201);
    expect(response.headers.get("x-kept")).toBe("1");
    expect(response.headers.get("proxy-authenticate")).toBe(null);
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    const seen = (await response.json()) as { headers: Record<string, string> };
    expect(seen).toMatchObject({ method: "PUT", url: "/a%2Fb?c=d", body: "bytes" });
    expect(seen.headers).toMatchObject({ "x-own": "1" });
    expect(Object.keys(seen.headers)).not.toEqual(expect.arrayContaining(["te"]));
    expect(JSON.stringify(seen)).not.toContain("canary");
  });

  test("an encoded answer stays encoded, one without a body has none, a redirect is handed on", async () => {
    const port = await program(({ url }, outgoing) => {
      if (url === "/gzip") outgoing.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("text"));
      else outgoing.writeHead(url === "/none" ? 204 : 302, { location: "http://elsewhere.example/" }).end();
    });
    const handler = forwardTo(port);
    const get = async (path: string) => handler(new Request(`http://enclave${path}`));
    const encoded = await get("/gzip");
    expect(gunzipSync(await encoded.arrayBuffer()).toString()).toBe("text");
    expect((await get("/none")).status).toBe(204);
    expect((await get("/moved")).headers.get("location")).toBe("http://elsewhere.example/");
  });

  test("a program that does not answer is told by name, and so is one that hangs up", async () => {
    const closing = await program((_, outgoing) => outgoing.destroy());
    const ask = (port: number) => codeOf(Promise.resolve(forwardTo(port)(new Request("http://enclave/"))));
    expect(await ask(closing)).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(await ask(1)).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("a client that leaves ends its request to the program", async () => {
    let closed: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const leaving = new AbortController();
    const port = await program((incoming) => {
      incoming.once("close", closed);
      leaving.abort();
    });
    const asked = forwardTo(port)(new Request("http://enclave/", { signal: leaving.signal }));
    expect(await codeOf(Promise.resolve(asked))).toBe("ERR_TRANSPORT_UNREACHABLE");
    await ended;
  });
});
