/**
 * `env.fetch`: the web standard's call, through the parent's proxy, TLS ending in the enclave.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createEgressAgent } from "../../../enclave/egress/agent.ts";
import { createFetch, type EgressFetch } from "../../../enclave/egress/fetch.ts";
import { makeCa, type TestCa } from "../../parent/pki.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanup, makeWorld, transport } from "../app/world.ts";

const HOST = "api.example";
let ca: TestCa;
let server: Server;
let port = 0;
let serve: (incoming: IncomingMessage, outgoing: ServerResponse) => void;
let fetch: EgressFetch;

beforeAll(async () => {
  ca = await makeCa("a root");
  server = createServer(await ca.issue(HOST), (incoming, outgoing) => serve(incoming, outgoing));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as { port: number }).port;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

beforeEach(async () => {
  const { platform } = await makeWorld({ ca, hosts: { [`${HOST}:443`]: port } });
  const agent = createEgressAgent({ transport, parent: platform.parent, tlsRoots: platform.tlsRoots });
  cleanup(() => agent.destroy());
  fetch = createFetch({ agent });
});

/** Answers with what was asked. */
const mirror = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const { method, url, headers } = incoming;
  outgoing.setHeader("set-cookie", ["a=1", "b=2"]);
  outgoing.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() }));
};

describe("fetch from an enclave", () => {
  test("asks and answers as the standard has it", async () => {
    serve = mirror;
    const response = await fetch(`https://${HOST}/a/b?c=d`, {
      method: "PUT",
      body: "hello",
      headers: { "x-own": "1" },
    });
    expect(response).toBeInstanceOf(Response);
    expect(response).toMatchObject({ status: 200, ok: true, url: `https://${HOST}/a/b?c=d` });
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    const seen = (await response.json()) as { headers: Record<string, string> };
    expect(seen).toMatchObject({ method: "PUT", url: "/a/b?c=d", body: "hello" });
    expect(seen.headers).toMatchObject({ "x-own": "1", "content-length": "5", host: HOST });
    expect(seen.headers).not.toHaveProperty("accept-encoding");
  });

  test("takes a Request, and a caller's Host and Connection are not the connection's", async () => {
    serve = mirror;
    const request = new Request(`https://${HOST}/`, { headers: { connection: "close", host: "evil.example" } });
    const { headers } = (await (await fetch(request)).json()) as { headers: Record<string, string> };
    expect(headers).toMatchObject({ host: HOST, connection: "keep-alive" });
  });

  test("bodies are streams both ways, and each end waits for the other", async () => {
    serve = (incoming, outgoing) => incoming.pipe(outgoing);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ >= 400) controller.close();
        else controller.enqueue(new Uint8Array(65_536).fill(sent));
      },
    });
    const response = await fetch(`https://${HOST}/`, { method: "POST", body, duplex: "half" });
    const before = sent;
    expect(before).toBeLessThan(300);
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(bytes.length).toBe(400 * 65_536);
    expect(bytes.at(-1)).toBe(400 % 256);
  });

  test("gives a redirect as it is: an answer does not decide where to connect next", async () => {
    let asked = 0;
    serve = (_, outgoing) => {
      asked++;
      outgoing.writeHead(302, { location: "https://collector.example/" }).end();
    };
    const response = await fetch(`https://${HOST}/`);
    expect([response.status, response.headers.get("location"), asked]).toEqual([302, "https://collector.example/", 1]);
  });

  test.each([204, 304])("an answer %d has no body", async (status) => {
    serve = (_, outgoing) => void outgoing.writeHead(status).end();
    expect(await fetch(`https://${HOST}/`)).toMatchObject({ status, body: null });
  });

  test.each<[string, string, string]>([
    ["a host that the parent does not allow", "https://other.example/", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["another port", `https://${HOST}:8443/`, "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["plain http", `http://${HOST}/`, "TypeError"],
    ["a file", "file:///etc/passwd", "TypeError"],
  ])("%s is refused", async (_, url, expected) => {
    serve = mirror;
    const error = (await fetch(url).catch((refusal: unknown) => refusal)) as { code?: string; name: string };
    expect(error.code ?? error.name).toBe(expected);
  });

  test("a server under another root is refused", async () => {
    const other = await makeCa("another root");
    const { platform } = await makeWorld({ ca: other, hosts: { [`${HOST}:443`]: port } });
    const agent = createEgressAgent({ transport, parent: platform.parent, tlsRoots: platform.tlsRoots });
    cleanup(() => agent.destroy());
    expect(await codeOf(createFetch({ agent })(`https://${HOST}/`))).toBe("ERR_TRANSPORT_TLS_REFUSED");
  });

  test("a signal ends it with its reason, before and during the answer", async () => {
    const reason = new Error("enough");
    serve = mirror;
    await expect(fetch(`https://${HOST}/`, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    serve = () => controller.abort(reason);
    await expect(fetch(`https://${HOST}/`, { signal: controller.signal })).rejects.toBe(reason);
    const later = new AbortController();
    serve = (_, outgoing) => void outgoing.write("first");
    const response = await fetch(`https://${HOST}/`, { signal: later.signal });
    later.abort(reason);
    await expect(response.text()).rejects.toThrow();
  });

  test("a server that hangs up, or says nothing, is a peer that was not reached", async () => {
    serve = (incoming) => incoming.socket.destroy();
    expect(await codeOf(fetch(`https://${HOST}/`))).toBe("ERR_TRANSPORT_UNREACHABLE");
    const { platform } = await makeWorld({ ca, hosts: { [`${HOST}:443`]: port } });
    const agent = createEgressAgent({ transport, parent: platform.parent, tlsRoots: platform.tlsRoots });
    cleanup(() => agent.destroy());
    serve = () => {};
    expect(await codeOf(createFetch({ agent, timeoutMs: 50 })(`https://${HOST}/`))).toBe("ERR_TRANSPORT_TIMEOUT");
  });
});

describe("a permit", () => {
  test("is asked before each new connection, and its refusal is the request's", async () => {
    serve = mirror;
    const { platform } = await makeWorld({ ca, hosts: { [`${HOST}:443`]: port } });
    let refusal: Error | undefined;
    const permit = (): void => {
      if (refusal) throw refusal;
    };
    const agent = createEgressAgent({ transport, parent: platform.parent, tlsRoots: platform.tlsRoots, permit });
    cleanup(() => agent.destroy());
    const permitted = createFetch({ agent });
    expect((await permitted(`https://${HOST}/`)).status).toBe(200);
    refusal = new RangeError("not now");
    agent.destroy();
    await expect(permitted(`https://${HOST}/`)).rejects.toMatchObject({ cause: refusal });
  });

  test.each(["GET", "DELETE", "POST"])("a length of the caller's frames nothing: %s", async (method) => {
    const seen: string[] = [];
    serve = async (incoming, outgoing) => {
      seen.push(`${incoming.method} ${incoming.url}`);
      await mirror(incoming, outgoing);
    };
    const hidden = `${"x".repeat(20)}GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n`;
    const body = method === "GET" ? {} : { body: hidden };
    const response = await fetch(`https://${HOST}/a`, { method, headers: { "content-length": "20" }, ...body });
    const { headers, body: got } = (await response.json()) as { headers: Record<string, string>; body: string };
    expect(got).toBe(method === "GET" ? "" : hidden);
    expect(headers["content-length"]).toBe(method === "GET" ? undefined : String(hidden.length));
    await (await fetch(`https://${HOST}/b`)).text();
    expect(seen).toEqual([`${method} /a`, "GET /b"]);
  });

  test("an answer whose end only the connection tells is refused: a parent could end it anywhere", async () => {
    serve = (_, outgoing) => {
      outgoing.socket?.end("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nallow: alice\n");
    };
    expect(await codeOf(fetch(`https://${HOST}/a`))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });
});
