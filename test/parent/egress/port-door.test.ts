import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import type { EgressOptions } from "../../../parent/egress/egress.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { closed, codeOf, collect, digest, pattern, send } from "../../transport/streams.ts";
import { cleanups, echo, proxy, type RunningProxy, transport, until, upstream } from "../fixture.ts";

const TARGET = "echo.test:443";

function portDoor(port: number, options: Partial<EgressOptions> = {}): Promise<RunningProxy> {
  const hosts = { [TARGET]: `127.0.0.1:${port}` };
  return proxy({ allowlist: [TARGET], hosts, door: { kind: "port", target: TARGET }, ...options });
}

const dialled = async ({ parent }: RunningProxy): Promise<import("node:stream").Duplex> => {
  const socket = await transport.connect(addressOf(parent, EGRESS_PORT));
  cleanups.push(() => socket.destroy());
  return socket;
};

describe("the port door", () => {
  test("R17: no HTTP is read: a CONNECT request goes to the upstream like any bytes", async () => {
    const under = await portDoor(await echo());
    const socket = await dialled(under);
    const text = "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n";
    socket.end(text);
    expect((await collect(socket)).toString()).toBe(text);
    expect(under.events.map(({ event, target }) => [event, target])).toEqual([
      ["accepted", undefined],
      ["connected", TARGET],
      ["closed", undefined],
    ]);
  });

  test("a server that speaks first is heard", async () => {
    const under = await portDoor(await upstream((socket) => socket.write("220 ready\r\n")));
    const [greeting] = await once(await dialled(under), "data");
    expect(String(greeting)).toBe("220 ready\r\n");
  });

  test("R21: half-close, 16 MiB after it, and the bytes are counted", async () => {
    const answer = pattern(16 * 1_048_576);
    const port = await upstream((far) => {
      far.resume().once("end", () => void send(far, answer).then(() => far.end()));
    });
    const under = await portDoor(port);
    const socket = await dialled(under);
    socket.end("question");
    expect(digest(await collect(socket))).toBe(digest(answer));
    await until(() => under.service.stats().open === 0);
    const crossed = { bytesFromEnclave: 8, bytesToEnclave: answer.length };
    expect(under.service.stats()).toMatchObject(crossed);
    expect(under.events.at(-1)).toMatchObject({ event: "closed", ...crossed, durationMs: expect.any(Number) });
  });

  test("R18: an upstream that refuses: closed, told by code, and the next is served", async () => {
    const port = await echo();
    const under = await portDoor(1);
    expect((await collect(await dialled(under))).length).toBe(0);
    expect(under.events).toContainEqual(
      expect.objectContaining({ event: "refused", code: "ECONNREFUSED", target: TARGET }),
    );
    under.service.update({ allowlist: [TARGET], hosts: { [TARGET]: `127.0.0.1:${port}` } });
    const socket = await dialled(under);
    socket.end("alive");
    expect((await collect(socket)).toString()).toBe("alive");
    expect(under.service.stats()).toMatchObject({ refused: 1, connectFailures: 1 });
  });

  test.each<[string, (far: Socket) => void]>([
    ["resets", (far) => far.resetAndDestroy()],
    ["closes", (far) => far.end()],
    ["resets after an answer", (far) => far.write("x", () => far.resetAndDestroy())],
  ])("R18: an upstream that %s is told to the enclave by the event itself: no clock moves", async (_, act) => {
    const port = await upstream((far) => act(far as Socket));
    const under = await portDoor(port);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval"] });
    const socket = await dialled(under);
    await once(socket.resume(), "end");
    socket.end();
    await closed(socket);
  });

  test.each(["other.test:443", "echo.test:80", "echo.test", "[::1]:443"])(
    "R10: a door to %s, which is not listed, does not open",
    async (target) => {
      expect(await codeOf(portDoor(1, { door: { kind: "port", target } }))).toBe("ERR_CONFIG_FIELD_INVALID");
    },
  );

  test("R26: 200 connections are reset, as vsock does when an enclave ends, some still dialling: none stays", async () => {
    const far: Socket[] = [];
    // Would hold its half of the connection for ever.
    const port = await upstream((socket) => void far.push((socket as Socket).resume()));
    const under = await portDoor(port, { address: { kind: "tcp", host: "127.0.0.1", port: 0 } });
    const near = await Promise.all(Array.from({ length: 200 }, () => transport.connect(under.service.address)));
    await until(() => far.length > 50);
    for (const socket of near) (socket as Socket).resetAndDestroy();
    await until(() => under.service.stats().open === 0);
    await until(() => far.every(({ readableEnded, destroyed }) => readableEnded || destroyed));
  });
});

describe("new rules", () => {
  test("R15: another list is in force for the next connection; those that are open go on", async () => {
    const port = await echo();
    const under = await portDoor(port);
    const before = await dialled(under);
    await until(() => under.events.some(({ event }) => event === "connected"));
    under.service.update({ allowlist: [] });
    expect((await collect(await dialled(under))).length).toBe(0);
    expect(under.events).toContainEqual(
      expect.objectContaining({ event: "refused", code: "ERR_TRANSPORT_HOST_NOT_ALLOWED" }),
    );
    before.end("still here");
    expect((await collect(before)).toString()).toBe("still here");
  });

  test("R15: a list with one fault changes nothing, not even its good half", async () => {
    const under = await proxy({ allowlist: ["a.test:443"], resolve: async () => [] });
    const attempt = async (): Promise<void> => under.service.update({ allowlist: ["b.test:443", "*"] });
    expect(await codeOf(attempt())).toBe("ERR_CONFIG_FIELD_INVALID");
    const status = async (name: string): Promise<string> =>
      (await under.raw(`CONNECT ${name}:443 HTTP/1.1\r\nHost: ${name}:443\r\n\r\n`)).slice(9, 12);
    expect([await status("a.test"), await status("b.test")]).toEqual(["502", "403"]);
  });
});
