/** HAProxy, whose protocol it is, reads our header. Skips where it is not installed. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Address } from "../../../shared/transport/address.ts";
import { collect, scratchFolder } from "../../transport/streams.ts";
import { transport, until } from "../fixture.ts";
import { door, LISTEN } from "./bed.ts";

const hasHaproxy = spawnSync("haproxy", ["-v"]).status === 0;
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));
const folder = scratchFolder();
const socket = join(folder, "in");
const target: Address = { kind: "unix", path: socket };

const CONFIGURATION = `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind unix@${socket} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
`;

describe.skipIf(!hasHaproxy)("HAProxy reads the header", () => {
  let haproxy: ChildProcess;
  beforeAll(async () => {
    const path = join(folder, "haproxy.cfg");
    writeFileSync(path, CONFIGURATION);
    haproxy = spawn("haproxy", ["-db", "-q", "-f", path], { stdio: "ignore" });
    await until(() => existsSync(socket));
  });
  afterAll(() => void haproxy.kill("SIGKILL"));

  async function asked(listen: Address): Promise<{ readonly said: string; readonly ends: readonly unknown[] }> {
    const { service } = await door({ targets: [target], proxyProtocol: "v2", listen });
    const client = await transport.connect(service.address);
    const { localAddress, localPort, remoteAddress, remotePort } = client as import("node:net").Socket;
    client.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const answer = (await collect(client)).toString();
    client.destroy();
    return { said: answer.split("\r\n\r\n")[1] ?? answer, ends: [localAddress, localPort, remoteAddress, remotePort] };
  }

  test("over IPv4", async () => {
    const { said, ends } = await asked(LISTEN);
    expect(said).toBe(ends.join(" "));
  });

  test.skipIf(!hasIpv6)("over IPv6", async () => {
    const { said, ends } = await asked({ kind: "tcp", host: "::1", port: 0 });
    expect(said).toBe(ends.join(" "));
  });

  test("of a Unix socket's client it is told nothing, and serves it", async () => {
    const { said } = await asked({ kind: "unix", path: join(folder, "door") });
    expect(said).not.toContain("HTTP/1.1 400");
    expect(said).not.toMatch(/127\.0\.0\.1|::1/);
  });
});
