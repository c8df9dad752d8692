import { once } from "node:events";
import { createServer, connect as tlsConnect } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import type { EgressOptions } from "../../../parent/egress/egress.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { collect, take } from "../../transport/streams.ts";
import { cleanups, connect, proxy, type RunningProxy, transport, turns, until, upstream } from "../fixture.ts";
import { makeCa } from "../pki.ts";
import { extension, hello, hostEntry, records, serverName } from "./hello.ts";

const TARGET = "kms.test:443";
const GOOD = records(hello());

interface Bed {
  readonly under: RunningProxy;
  readonly arrived: () => Buffer;
  /** How many of the server's connections were opened and are over. */
  readonly over: () => number;
}

async function bed(options: Partial<EgressOptions> = {}): Promise<Bed> {
  const chunks: Buffer[] = [];
  let over = 0;
  const port = await upstream((socket) => {
    socket.on("data", (bytes: Buffer) => void chunks.push(bytes)).on("end", () => socket.end("answer"));
    socket.once("close", () => over++);
  });
  const hosts = { [TARGET]: `127.0.0.1:${port}` };
  const allowlist = [{ target: TARGET, allowPrivate: false, sniPolicy: "enforce" as const }];
  const under = await proxy({ allowlist, hosts, ...options });
  return { under, arrived: () => Buffer.concat(chunks), over: () => over };
}

async function opened({ under }: Bed): Promise<import("node:stream").Duplex> {
  const socket = await transport.connect(addressOf(under.parent, EGRESS_PORT));
  cleanups.push(() => socket.destroy());
  socket.write(connect(TARGET));
  await take(socket, "HTTP/1.1 200 Connection Established\r\n\r\n".length);
  return socket;
}

describe("sniPolicy enforce", () => {
  test.each<[string, Uint8Array]>([
    ["the name, in one piece", GOOD],
    ["the name in capitals", records(hello({ extensions: [serverName(hostEntry("KMS.test"))] }))],
    ["the name, over many records", records(hello(), 12)],
    ["early data behind it", Buffer.concat([GOOD, Buffer.from([23, 3, 3, 0, 3, 1, 2, 3])])],
    ["a hello, and more than 16 KiB behind it", Buffer.concat([GOOD, Buffer.alloc(40_000, 23)])],
  ])("R16: %s: the bytes arrive as they were", async (_, bytes) => {
    const made = await bed();
    const socket = await opened(made);
    socket.end(bytes);
    expect((await collect(socket)).toString()).toBe("answer");
    expect(made.arrived().equals(Buffer.from(bytes))).toBe(true);
  });

  test("R16: byte by byte", async () => {
    const made = await bed();
    const socket = await opened(made);
    for (const byte of GOOD) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    socket.end();
    await collect(socket);
    expect(made.arrived().equals(GOOD)).toBe(true);
  });

  test.each<[string, Uint8Array]>([
    ["another name", records(hello({ extensions: [serverName(hostEntry("evil.test"))] }))],
    ["the name as a prefix", records(hello({ extensions: [serverName(hostEntry("kms.test.evil.test"))] }))],
    ["the name with a dot", records(hello({ extensions: [serverName(hostEntry("kms.test."))] }))],
    ["an address", records(hello({ extensions: [serverName(hostEntry("127.0.0.1"))] }))],
    ["a name that is none", records(hello({ extensions: [serverName(hostEntry("a@kms.test"))] }))],
    ["no name", records(hello({ extensions: [] }))],
    [
      "ECH whose outer name is right",
      records(hello({ extensions: [serverName(hostEntry("kms.test")), extension(0xfe0d, Buffer.alloc(4))] })),
    ],
    ["no TLS", Buffer.from("GET / HTTP/1.1\r\nHost: kms.test\r\n\r\n")],
    [
      "a hello of more than 16 KiB",
      records(hello({ extensions: [serverName(hostEntry("kms.test")), extension(21, Buffer.alloc(17_000))] })),
    ],
  ])("R16: %s: closed, and nothing reached the server", async (_, bytes) => {
    const made = await bed();
    const socket = await opened(made);
    socket.write(bytes);
    expect((await collect(socket)).length).toBe(0);
    await until(() => made.under.service.stats().open === 0);
    await until(() => made.over() === 1);
    expect([made.arrived().length, made.under.service.stats().failed]).toEqual([0, 1]);
    expect(made.under.events).toContainEqual(
      expect.objectContaining({ event: "failed", code: "ERR_TRANSPORT_SNI_REFUSED" }),
    );
    expect(JSON.stringify(made.under.events)).not.toContain("evil");
  });

  test("R16: five seconds for the hello", async () => {
    const made = await bed();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const socket = await opened(made);
    socket.write(GOOD.subarray(0, -1));
    await turns(20);
    vi.advanceTimersByTime(4_999);
    await turns(20);
    expect(made.under.service.stats().open).toBe(1);
    vi.advanceTimersByTime(1);
    expect((await collect(socket)).length).toBe(0);
    await until(() => made.under.service.stats().open === 0);
    expect([made.arrived().length, vi.getTimerCount()]).toEqual([0, 0]);
  });

  test("R16: an enclave that leaves before its hello leaves no upstream", async () => {
    const made = await bed();
    const socket = await opened(made);
    socket.end(GOOD.subarray(0, 9));
    await until(() => made.under.service.stats().open === 0);
    expect(made.arrived().length).toBe(0);
  });

  test("R16: for all targets by the proxy's own policy, and off where an entry says so", async () => {
    const strict = await bed({ allowlist: [TARGET], sniPolicy: "enforce" });
    (await opened(strict)).end("no TLS");
    await until(() => strict.under.service.stats().failed === 1);
    const entry = { target: TARGET, allowPrivate: false, sniPolicy: "off" as const };
    const open = await bed({ allowlist: [entry], sniPolicy: "enforce" });
    (await opened(open)).end("no TLS");
    await until(() => open.arrived().toString() === "no TLS");
  });

  test("R16: a whole TLS session of Node goes through", async () => {
    const ca = await makeCa("sni");
    const server = createServer(await ca.issue("kms.test"), (socket) => socket.end("secret")).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => server.close());
    const hosts = { [TARGET]: `127.0.0.1:${(server.address() as { port: number }).port}` };
    const made = await bed({ hosts });
    const socket = tlsConnect({ socket: await opened(made), servername: "kms.test", ca: ca.root });
    expect((await collect(socket)).toString()).toBe("secret");
  });
});
