import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import { connectThroughParent } from "../../enclave/egress/connect.ts";
import { type EgressOptions, startEgress } from "../../parent/egress.ts";
import type { ParentEvent } from "../../parent/observe.ts";
import type { ListeningService } from "../../parent/service.ts";
import { addressOf, type Peer } from "../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/create.ts";
import { closed, codeOf, collect, digest, pattern, scratchFolder, send } from "../transport/streams.ts";

const root = scratchFolder();
const transport = createTransport();
let folders = 0;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Proxy {
  readonly service: ListeningService;
  readonly parent: Peer;
  readonly events: ParentEvent[];
  /** Connects as an enclave that does not keep to the rules. */
  raw(text: string | Uint8Array): Promise<string>;
  through(host: string, port: number): Promise<Duplex>;
}

async function proxy(options: Partial<EgressOptions> & Pick<EgressOptions, "allowlist">): Promise<Proxy> {
  const folder = join(root, `${++folders}`);
  process.getBuiltinModule("node:fs").mkdirSync(folder);
  const parent: Peer = { kind: "unix", folder };
  const events: ParentEvent[] = [];
  const address = addressOf(parent, EGRESS_PORT);
  const service = await startEgress({ transport, address, log: (event) => void events.push(event), ...options });
  cleanups.push(() => service.close());
  return {
    service,
    parent,
    events,
    async raw(text) {
      const socket = await transport.connect(address);
      socket.write(text);
      const answer = await collect(socket).catch(() => Buffer.alloc(0));
      socket.destroy();
      return answer.toString("latin1");
    },
    async through(host, port) {
      const socket = await connectThroughParent({ transport, parent, host, port });
      cleanups.push(() => socket.destroy());
      return socket;
    },
  };
}

async function upstream(onConnection: (socket: Duplex) => void, host = "127.0.0.1"): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => {});
    onConnection(socket);
  }).listen(0, host);
  await once(server, "listening");
  cleanups.push(() => server.close());
  return (server.address() as { port: number }).port;
}

const connect = (authority: string, rest = ""): string =>
  `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${rest}\r\n`;
const statusOf = (answer: string): string => /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? "closed";
const bodyOf = (answer: string): unknown => JSON.parse(answer.split("\r\n\r\n")[1] ?? "");
const lived = async (under: Proxy, port: number): Promise<void> => {
  const socket = await under.through("echo.test", port);
  socket.end("alive");
  expect((await collect(socket)).toString()).toBe("alive");
};
const echo = (): Promise<number> => upstream((socket) => socket.pipe(socket));

describe("a request of the enclave", () => {
  test.each<[string, string, string, string]>([
    ["R01: a listed name with a dot", connect("echo.test.:443"), "502", "ERR_TRANSPORT_UNREACHABLE"],
    ["R10: an unlisted name", connect("other.test:443"), "403", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["R11: another port", connect("echo.test:80"), "403", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["R04: an address", connect("127.0.0.1:443"), "403", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["R03: brackets", connect("[::1]:443"), "400", "ERR_TRANSPORT_ADDRESS_INVALID"],
    ["R12: user", connect("a@echo.test:443"), "400", "ERR_TRANSPORT_ADDRESS_INVALID"],
    ["R12: NUL", connect("echo.test\0:443"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    ["R12: no ASCII", connect("\u00e9cho.test:443"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    [
      "R17: absolute form",
      "CONNECT http://echo.test:443/ HTTP/1.1\r\nHost: echo.test:443\r\n\r\n",
      "400",
      "ERR_TRANSPORT_ADDRESS_INVALID",
    ],
    [
      "R17: GET",
      "GET http://echo.test:443/ HTTP/1.1\r\nHost: echo.test:443\r\n\r\n",
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    [
      "R17: HTTP/1.0",
      "CONNECT echo.test:443 HTTP/1.0\r\nHost: echo.test:443\r\n\r\n",
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    [
      "R17: two spaces",
      "CONNECT  echo.test:443 HTTP/1.1\r\nHost: echo.test:443\r\n\r\n",
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    [
      "R17: another Host",
      "CONNECT echo.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n",
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    ["R17: two Hosts", connect("echo.test:443", "Host: echo.test:443\r\n"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    ["R17: no Host", "CONNECT echo.test:443 HTTP/1.1\r\n\r\n", "400", "ERR_TRANSPORT_PROXY_INVALID"],
    ["R17: a body", connect("echo.test:443", "Content-Length: 5\r\n"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    [
      "R17: a chunked body",
      connect("echo.test:443", "Transfer-Encoding: chunked\r\n"),
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    ["R17: a folded line", connect("echo.test:443", "X-A: b\r\n c\r\n"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    ["R17: a space before the colon", connect("echo.test:443", "X-A : b\r\n"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    ["R17: LF inside a line", connect("echo.test:443", "X-A: b\nX: c\r\n"), "400", "ERR_TRANSPORT_PROXY_INVALID"],
    [
      "a head of more than 8 KiB",
      connect("echo.test:443", `X-A: ${"b".repeat(8_192)}\r\n`),
      "400",
      "ERR_TRANSPORT_PROXY_INVALID",
    ],
    ["8 KiB without an end", "A".repeat(8_192), "400", "ERR_TRANSPORT_PROXY_INVALID"],
  ])("%s", async (_, text, status, code) => {
    const under = await proxy({ allowlist: ["echo.test:443"], resolve: async () => [] });
    const answer = await under.raw(Buffer.from(text, "latin1"));
    expect(statusOf(answer)).toBe(status);
    expect(bodyOf(answer)).toMatchObject({ code });
  });

  test("8 191 bytes of head are read, and what follows the head belongs to the tunnel", async () => {
    const port = await echo();
    const authority = "echo.test:443";
    const under = await proxy({ allowlist: [authority], hosts: { [authority]: `127.0.0.1:${port}` } });
    const padding = `X-A: ${"b".repeat(8_191 - connect(authority, "X-A: \r\n").length)}\r\n`;
    const socket = await transport.connect(addressOf(under.parent, EGRESS_PORT));
    socket.end(`${connect(authority, padding)}early`);
    expect((await collect(socket)).toString()).toBe("HTTP/1.1 200 Connection Established\r\n\r\nearly");
  });

  test("V02: a head that does not come in five seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const under = await proxy({ allowlist: ["echo.test:443"] });
    const socket = await transport.connect(addressOf(under.parent, EGRESS_PORT));
    socket.write("CONNECT ");
    while (under.service.stats().open === 0) await new Promise(setImmediate);
    vi.advanceTimersByTime(4_999);
    await new Promise(setImmediate);
    expect(under.service.stats().open).toBe(1);
    vi.advanceTimersByTime(1);
    await closed(socket.resume());
    expect(under.events).toContainEqual(expect.objectContaining({ event: "failed", code: "ERR_TRANSPORT_TIMEOUT" }));
  });

  test("R29: what a peer wrote is not in the log, but for a name in canonical form", async () => {
    const under = await proxy({ allowlist: ["echo.test:443"] });
    await under.raw(connect("canary\u001b[2J.test:443"));
    await under.raw(connect("canary<script>.test:443"));
    await under.raw(connect("OTHER.test.:443", "X-Canary: canary\r\n"));
    const text = JSON.stringify(under.events);
    expect(text).not.toMatch(/canary|script|OTHER/);
    expect(under.events.filter(({ event }) => event === "refused").map(({ target }) => target)).toEqual([
      undefined,
      undefined,
      "other.test:443",
    ]);
  });
});

describe("where a name leads", () => {
  async function reached(resolve: () => Promise<readonly string[]>, allowPrivate: boolean): Promise<string> {
    const port = await upstream((socket) => socket.end("reached 127.0.0.2"), "127.0.0.2");
    const under = await proxy({ allowlist: [{ target: `echo.test:${port}`, allowPrivate }], resolve });
    const answer = await under.raw(connect(`echo.test:${port}`));
    return statusOf(answer) === "200"
      ? (answer.split("\r\n\r\n")[1] ?? "")
      : (bodyOf(answer) as { reason: string }).reason;
  }

  test.each<[string, string[], boolean, string]>([
    ["R06: loopback, not opened", ["127.0.0.2"], false, "ADDRESS_NOT_PERMITTED"],
    ["R06: loopback, opened", ["127.0.0.2"], true, "reached 127.0.0.2"],
    ["R06: metadata, opened", ["169.254.169.254"], true, "ADDRESS_NOT_PERMITTED"],
    ["R06: metadata IPv6, opened", ["fd00:ec2::254"], true, "ADDRESS_NOT_PERMITTED"],
    ["R05: metadata mapped, opened", ["::ffff:169.254.169.254"], true, "ADDRESS_NOT_PERMITTED"],
    ["R05: loopback mapped, not opened", ["::ffff:127.0.0.2"], false, "ADDRESS_NOT_PERMITTED"],
    ["R08: good and bad mixed", ["169.254.169.254", "127.0.0.2", "fe80::1"], true, "reached 127.0.0.2"],
    ["R08: bad ones alone", ["169.254.169.254", "fe80::1"], true, "ADDRESS_NOT_PERMITTED"],
    ["R20: no address", [], true, "ADDRESS_NOT_PERMITTED"],
    ["R20: an answer that is no address", ["other.test", ""], true, "ADDRESS_NOT_PERMITTED"],
    ["R18: the first refuses, the second answers", ["127.0.0.3", "127.0.0.2"], true, "reached 127.0.0.2"],
    ["R18: all refuse", ["127.0.0.3"], true, "ECONNREFUSED"],
    ["R20: 50 000 bad addresses", Array.from({ length: 50_000 }, () => "10.0.0.1"), false, "ADDRESS_NOT_PERMITTED"],
  ])("%s", async (_, addresses, allowPrivate, wanted) => {
    expect(await reached(async () => addresses, allowPrivate)).toBe(wanted);
  });

  test("R07: the address that was checked is the one dialled; each connection asks and checks anew", async () => {
    const answers = [["127.0.0.2"], ["169.254.169.254"], ["127.0.0.2"]];
    let asked = 0;
    const port = await upstream((socket) => socket.end("here"), "127.0.0.2");
    const allowlist = [{ target: `echo.test:${port}`, allowPrivate: true }];
    const under = await proxy({ allowlist, resolve: async () => answers[asked++] ?? [] });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push(statusOf(await under.raw(connect(`echo.test:${port}`))));
    expect(statuses).toEqual(["200", "502", "200"]);
    expect(asked).toBe(3);
  });

  test("R10: another name with an allowed host's address is not allowed, and not even resolved", async () => {
    const asked: string[] = [];
    const resolve = async (host: string): Promise<string[]> => {
      asked.push(host);
      return ["127.0.0.2"];
    };
    const under = await proxy({ allowlist: [{ target: "echo.test:443", allowPrivate: true }], resolve });
    expect(statusOf(await under.raw(connect("attacker.test:443")))).toBe("403");
    expect(asked).toEqual([]);
  });

  test.each(["ESERVFAIL", "ENOTFOUND", "ETIMEOUT"])(
    "R20: %s fails that connection, and the proxy lives",
    async (code) => {
      const port = await echo();
      const resolve = async (): Promise<string[]> => {
        throw Object.assign(new Error("canary"), { code });
      };
      const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
      const under = await proxy({ allowlist: ["dead.test:443", `echo.test:${port}`], hosts, resolve });
      const answer = await under.raw(connect("dead.test:443"));
      expect([statusOf(answer), bodyOf(answer)]).toEqual(["502", { code: "ERR_TRANSPORT_UNREACHABLE", reason: code }]);
      await lived(under, port);
    },
  );

  test("R20, F14: a resolver that throws at once, or never answers", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let mode: "throw" | "wait" = "throw";
    const resolve = (): Promise<string[]> => {
      if (mode === "throw") throw new Error("broken");
      return new Promise(() => {});
    };
    const under = await proxy({ allowlist: ["dead.test:443"], resolve });
    expect(statusOf(await under.raw(connect("dead.test:443")))).toBe("502");
    mode = "wait";
    const answer = under.raw(connect("dead.test:443"));
    while (under.service.stats().accepted < 2) await new Promise(setImmediate);
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    vi.advanceTimersByTime(5_000);
    expect(bodyOf(await answer)).toMatchObject({ reason: "ETIMEDOUT" });
  });
});

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
      for (let i = 0; i < 200; i++) await new Promise(setImmediate);
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
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    expect([near.destroyed, far.destroyed]).toEqual([false, false]);
    vi.advanceTimersByTime(1);
    await Promise.all([once(near.resume(), "end"), once(far.resume(), "end")]);
  });

  test("R23: one connection too many is closed, and the next finds room", async () => {
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
    const under = await proxy({ allowlist: Object.keys(hosts), hosts, limits: { maxConnections: 2 } });
    const first = await under.through("echo.test", port);
    const second = await under.through("echo.test", port);
    expect(await codeOf(under.through("echo.test", port))).toBe("ERR_TRANSPORT_CLOSED");
    expect(under.service.stats()).toMatchObject({ open: 2, refused: 1 });
    first.end();
    await closed(first.resume());
    while (under.service.stats().open > 1) await new Promise(setImmediate);
    await lived(under, port);
    second.destroy();
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

describe("the enclave's side of CONNECT does not trust the parent", () => {
  async function answers(text: string): Promise<string> {
    const folder = join(root, `${++folders}`);
    process.getBuiltinModule("node:fs").mkdirSync(folder);
    const parent: Peer = { kind: "unix", folder };
    const listener = await transport.listen(addressOf(parent, EGRESS_PORT), (socket) => {
      socket.once("data", () => socket.end(text));
    });
    cleanups.push(() => listener.close());
    return codeOf(connectThroughParent({ transport, parent, host: "echo.test", port: 443 }).then((s) => s.destroy()));
  }

  test.each<[string, string, string]>([
    ["200", "HTTP/1.1 200 OK\r\n\r\n", "accepted"],
    ["403", "HTTP/1.1 403 Forbidden\r\n\r\n", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["502", "HTTP/1.1 502 Bad Gateway\r\nX: y\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["301", "HTTP/1.1 301 Moved\r\nLocation: http://evil.test/\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["status 2000", "HTTP/1.1 2000 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["another protocol", "SSH-2.0-x\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["control characters", "HTTP/1.1 200 \u0007\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["a line that is no header", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["8 KiB without an end", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(9_000)}`, "ERR_TRANSPORT_PROXY_INVALID"],
    ["the end in the middle", "HTTP/1.1 200 OK\r\n", "ERR_TRANSPORT_CLOSED"],
    ["nothing", "", "ERR_TRANSPORT_CLOSED"],
  ])("%s", async (_, text, code) => {
    expect(await answers(text)).toBe(code);
  });

  test.each(["echo.test\r\nX: y", "a b", "[::1]", "", "host:1"])("a host %j is not sent", async (host) => {
    const parent: Peer = { kind: "unix", folder: "/nonexistent" };
    const attempt = connectThroughParent({ transport, parent, host, port: 443 });
    expect(await codeOf(attempt)).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });

  test("no answer in time, and an aborted signal", async () => {
    const folder = join(root, `${++folders}`);
    process.getBuiltinModule("node:fs").mkdirSync(folder);
    const parent: Peer = { kind: "unix", folder };
    const accepted: Duplex[] = [];
    const listener = await transport.listen(addressOf(parent, EGRESS_PORT), (socket) => void accepted.push(socket));
    cleanups.push(() => listener.close());
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const target = { transport, parent, host: "echo.test", port: 443 };
    const late = codeOf(connectThroughParent({ ...target, timeoutMs: 700 }));
    while (accepted.length < 1) await new Promise(setImmediate);
    await once(accepted[0] as Duplex, "data");
    vi.advanceTimersByTime(700);
    expect(await late).toBe("ERR_TRANSPORT_TIMEOUT");
    const controller = new AbortController();
    const aborted = connectThroughParent({ ...target, signal: controller.signal });
    while (accepted.length < 2) await new Promise(setImmediate);
    await once(accepted[1] as Duplex, "data");
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
  });
});
