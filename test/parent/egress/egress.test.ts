import { describe, expect, test, vi } from "vitest";
import { addressOf } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { closed, collect } from "../../transport/streams.ts";
import { bodyOf, connect, echo, lived, proxy, statusOf, transport, turns, upstream } from "../fixture.ts";

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
    await turns(20);
    vi.advanceTimersByTime(5_000);
    expect(bodyOf(await answer)).toMatchObject({ reason: "ETIMEDOUT" });
  });
});
