/** What the drivers over Node's sockets do when the system refuses, and channels over real sockets that are reset. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, connect as netConnect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { openChannel } from "../../shared/transport/channel.ts";
import { encodeFrame } from "../../shared/transport/frame.ts";
import { serveChannel } from "../../shared/transport/serve-channel.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { ask, faultOf, never } from "./pipe-pair.ts";
import { codeOf, collect, scratchFolder } from "./streams.ts";

const folder = scratchFolder();
const program = join(folder, "hungry.mjs");

describe("out of descriptors", () => {
  beforeAll(async () => {
    const entry = fileURLToPath(new URL("hungry.ts", import.meta.url));
    await build({ entryPoints: [entry], outfile: program, bundle: true, platform: "node", format: "esm" });
  });

  test("V16, V17: connecting says EMFILE; a listener survives it, does not spin, and goes on", async () => {
    const path = join(folder, "hungry");
    const script = `ulimit -n 64; exec "$0" "$1" "$2"`;
    const child = spawn("/bin/sh", ["-c", script, process.execPath, program, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value));
    expect(await next()).toMatchObject({ step: "full", code: "ERR_TRANSPORT_UNREACHABLE", reason: "EMFILE" });
    // It has no descriptor for these; each ends, none is served, and the process does not burn.
    for (let i = 0; i < 20; i++) {
      const socket = netConnect(path).on("error", () => {});
      expect(await collect(socket).catch(() => Buffer.alloc(0))).toHaveLength(0);
    }
    child.stdin.write("free\n");
    expect(await next()).toMatchObject({ step: "freed", idle: true });
    const socket = await createUnixTransport().connect({ kind: "unix", path });
    expect((await collect(socket)).toString()).toBe("served");
    socket.destroy();
    child.stdin.end();
    expect(await once(child, "close")).toEqual([0, null]);
  });
});

describe("channels over sockets that are reset", () => {
  async function tcpPair(): Promise<{ near: Socket; far: Socket }> {
    const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = once(server, "connection");
    const near = netConnect({ port: (server.address() as { port: number }).port, host: "127.0.0.1" });
    const [far] = (await accepted) as [Socket];
    server.close();
    if (near.connecting) await once(near, "connect");
    return { near, far };
  }

  test("V05: a reset in the middle of a frame ends the serving side once, with the system's error", async () => {
    const { near, far } = await tcpPair();
    const served = serveChannel(far, { requests: { m: never } });
    let faults = 0;
    void served.closed.then(() => faults++);
    near.write(encodeFrame(ask(1)).subarray(0, 7));
    await once(far, "data");
    near.resetAndDestroy();
    expect(await faultOf(served)).toBe("ECONNRESET");
    await new Promise(setImmediate);
    expect(faults).toBe(1);
  });

  test("V05: a reset in the middle of an answer fails each question once, as closed", async () => {
    const { near, far } = await tcpPair();
    const channel = openChannel(near, { peer: "the test" });
    const asked = [codeOf(channel.request("a", {})), codeOf(channel.request("b", {}))];
    await once(far, "data");
    far.write(encodeFrame({ type: "response", id: 1, body: "cut" }).subarray(0, -1));
    await once(near, "data");
    far.resetAndDestroy();
    expect(await Promise.all(asked)).toEqual(["ERR_TRANSPORT_CLOSED", "ERR_TRANSPORT_CLOSED"]);
    await channel.closed;
  });
});
