import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import { createTransport } from "../../transport/create.ts";
import { createTcpTransport } from "../../transport/tcp.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { createVsockTransport } from "../../transport/vsock.ts";
import { describeTransport } from "./describe-transport.ts";
import { describeDriver, tcpPlace } from "./drivers-under-test.ts";
import { codeOf, scratchFolder } from "./streams.ts";

const folder = scratchFolder();
let places = 0;
const unixPlace = (): Address => ({ kind: "unix", path: join(folder, `${++places}`) });

for (const name of ["memory", "unix", "tcp", "hybrid"] as const) describeDriver(name);
describeTransport("by address: unix", () => ({
  transport: createTransport(),
  place: unixPlace,
  nowhere: async () => unixPlace(),
}));

describe("unix sockets", () => {
  const transport = createUnixTransport();

  test("the socket is its owner's alone, and goes with the listener", async () => {
    const address = unixPlace();
    const path = address.kind === "unix" ? address.path : "";
    const umask = process.umask();
    const listener = await transport.listen(address, () => {});
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(process.umask()).toBe(umask);
    await listener.close();
    expect(existsSync(path)).toBe(false);
  });

  test("a socket that a dead process left behind is replaced", async () => {
    const path = join(folder, "stale");
    const script = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script, path]);
    expect(lstatSync(path).isSocket()).toBe(true);
    await using listener = await transport.listen({ kind: "unix", path }, (socket) => socket.end());
    (await transport.connect(listener.address)).destroy();
  });

  test("a file that is no socket stays", async () => {
    const path = join(folder, "file");
    writeFileSync(path, "keep");
    expect(await codeOf(transport.listen({ kind: "unix", path }, () => {}))).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(statSync(path).size).toBe(4);
  });

  test("a path of 107 bytes is taken, one of 108 is not cut but refused", async () => {
    const path = (bytes: number): Address => ({
      kind: "unix",
      path: join(folder, "x".repeat(bytes - Buffer.byteLength(folder) - 1)),
    });
    await (await transport.listen(path(107), () => {})).close();
    expect(await codeOf(transport.listen(path(108), () => {}))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
    expect(await codeOf(transport.connect(path(108)))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });
});

describe("tcp", () => {
  const at = (host: string, port = 1): Address => ({ kind: "tcp", host, port });

  test.each(["0.0.0.0", "10.0.0.1", "::", "8.8.8.8", "example.test", "127.evil.test", "127.1"])(
    "%s is not loopback",
    async (host) => {
      expect(await codeOf(createTcpTransport().connect(at(host)))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
      expect(await codeOf(createTcpTransport().listen(at(host, 0), () => {}))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
    },
  );

  test("told to leave the host it takes addresses, and still no names", async () => {
    const anywhere = createTcpTransport({ dangerouslyAllowNonLoopback: true });
    expect(await codeOf(anywhere.connect(at("example.test")))).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
    const signal = AbortSignal.abort(Object.assign(new Error(), { code: "ABORTED" }));
    expect(await codeOf(anywhere.connect(at("192.0.2.1"), { signal }))).toBe("ABORTED");
  });

  test.each([-1, 1.5, 65_536, Number.NaN])("V15: port %d is a mistake", async (port) => {
    await expect(createTcpTransport().connect(at("127.0.0.1", port))).rejects.toBeInstanceOf(RangeError);
  });

  test("V15: a port as text is a mistake", async () => {
    const port = "8000" as unknown as number;
    await expect(createTcpTransport().connect(at("127.0.0.1", port))).rejects.toBeInstanceOf(TypeError);
  });
});

describe("createTransport", () => {
  test("V20: without the native binding a vsock address is refused when it is used, and the others work", async () => {
    const vsock = createVsockTransport({ nativePath: join(folder, "none.node") });
    const transport = createTransport({ vsock });
    const address: Address = { kind: "vsock", cid: 1, port: 8001 };
    expect(await codeOf(transport.connect(address))).toBe("ERR_TRANSPORT_UNSUPPORTED");
    expect(await codeOf(transport.listen(address, () => {}, { allowedCids: [3] }))).toBe("ERR_TRANSPORT_UNSUPPORTED");
    await (await transport.listen(unixPlace(), () => {})).close();
  });

  test("an attempt that has ended leaves no timer behind", async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const transport = createUnixTransport();
    const listener = await transport.listen(unixPlace(), () => {});
    const before = timers();
    (await transport.connect(listener.address)).destroy();
    await transport.connect(unixPlace()).catch(() => {});
    expect(timers()).toBe(before);
    await listener.close();
  });

  test("a driver refuses another driver's address", async () => {
    await expect(createUnixTransport().connect(tcpPlace())).rejects.toBeInstanceOf(TypeError);
    await expect(createTcpTransport().connect(unixPlace())).rejects.toBeInstanceOf(TypeError);
  });

  test("talks to a plain Node server", async () => {
    const server = createServer((socket) => socket.end("plain")).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const socket = await createTransport().connect({ kind: "tcp", host: "localhost", port });
    const [chunk] = await socket.take(1).toArray();
    expect(String(chunk)).toBe("plain");
    server.close();
  });
});
