import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectThroughParent } from "../../enclave/egress/connect.ts";
import { parentCredentials } from "../../enclave/egress/credentials.ts";
import { createLog } from "../../enclave/egress/log.ts";
import { openCapture } from "../../parent/observability/capture.ts";
import { addressOf, type Peer } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { type ControlledProcess, startControlled } from "../../transport/control.ts";
import { createTransport } from "../../transport/create.ts";
import { collect, scratchFolder } from "../transport/streams.ts";
import { bundle } from "./bundle.ts";

const folder = scratchFolder();
const transport = createTransport();
const peer: Peer = { kind: "unix", folder: join(folder, "p") };
const captureFile = join(folder, "capture.bin");
const credentials = {
  AccessKeyId: "ASIAEXAMPLEEXAMPLE00",
  SecretAccessKey: "secret-access-key-of-the-role",
  Token: "token-1",
  Expiration: "2999-01-01T00:00:00Z",
};

describe("the parent as a process", () => {
  let parent: ControlledProcess;
  beforeAll(async () => {
    mkdirSync(join(folder, "p"));
    const outfile = join(folder, "process.mjs");
    await bundle('import "./parent/process.ts";', outfile);
    parent = startControlled(pathToFileURL(outfile));
  });
  afterAll(() => parent.close());

  test("serves, captures every byte of all four services, tells its log, and ends with its input", async () => {
    const echo = await transport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, (socket) => socket.pipe(socket));
    const app = await transport.listen(addressOf(peer, APP_PORT), (socket) => socket.end("beacon-app"));
    const port = echo.address.kind === "tcp" ? echo.address.port : 0;
    const start = { peer, allowlist: ["echo.test:443"], credentials, ingress: "tcp://127.0.0.1:0", captureFile };

    await expect(parent.call("start", { ...start, allowlist: undefined })).rejects.toMatchObject({
      code: "ERR_CONFIG_FIELD_MISSING",
      details: { field: "allowlist" },
    });
    await expect(parent.call("start", { ...start, credentials: {} })).rejects.toMatchObject({
      details: { field: "credentials.AccessKeyId" },
    });
    const hosts = { "echo.test:443": `127.0.0.1:${port}` };
    const { ingress } = await parent.call<{ ingress: number }>("start", { ...start, hosts });

    const tunnel = await connectThroughParent({ transport, parent: peer, host: "echo.test", port: 443 });
    tunnel.end("beacon-egress");
    expect((await collect(tunnel)).toString()).toBe("beacon-egress");
    const client = await transport.connect({ kind: "tcp", host: "127.0.0.1", port: ingress });
    client.end("beacon-client");
    expect((await collect(client)).toString()).toBe("beacon-app");
    expect((await parentCredentials({ transport, parent: peer })()).sessionToken).toBe("token-1");
    await parent.call("credentials", { ...credentials, Token: "token-2" });
    expect((await parentCredentials({ transport, parent: peer })()).sessionToken).toBe("token-2");
    const log = createLog({ transport, parent: peer });
    log.write("info", "beacon-log", { line: "a\nb" });
    await log.close();

    const { lines } = await parent.call<{ lines: string[] }>("logs");
    expect(lines.filter((line) => line.includes("beacon-log"))).toHaveLength(1);
    expect(lines.join("\n")).toContain("echo.test:443");
    expect(lines.join("\n")).not.toMatch(/token-|secret-access/);
    const stats = await parent.call<{ services: Record<string, { accepted: number }>; capturedBytes: number }>("stats");
    expect(
      Object.entries(stats.services)
        .map(([name, { accepted }]) => `${name} ${accepted}`)
        .sort(),
    ).toEqual(["credentials 2", "egress 1", "ingress 1", "log 1"]);

    await parent.close();
    expect(await parent.exited).toBe(0);
    await Promise.all([echo.close(), app.close()]);
    const captured = readFileSync(captureFile, "latin1");
    expect(statSync(captureFile).mode & 0o777).toBe(0o600);
    expect(stats.capturedBytes).toBeGreaterThan(0);
    for (const text of [
      "CONNECT echo.test:443",
      "200 Connection",
      "beacon-client",
      "beacon-app",
      "token-2",
      "beacon-log",
    ]) {
      expect(captured).toContain(text);
    }
    // There and back.
    expect(captured.split("beacon-egress")).toHaveLength(3);
  });
});

describe("the capture", () => {
  test("finds a text that was cut in pieces while other connections spoke", () => {
    const path = join(folder, "cut.bin");
    const capture = openCapture(path);
    for (const char of "canary-in-pieces") {
      capture.tap("egress-1", "from-enclave", Buffer.from(char));
      capture.tap("egress-2", "from-enclave", Buffer.from("..."));
      capture.tap("egress-1", "to-enclave", Buffer.from("???"));
    }
    expect(capture.bytes()).toBe(16 * 7);
    capture[Symbol.dispose]();
    capture.tap("egress-1", "from-enclave", Buffer.from("after"));
    expect(readFileSync(path, "latin1")).toContain("canary-in-pieces");
    expect(readFileSync(path, "latin1")).not.toContain("after");
  });

  test("a folder that is not there is a ConfigError", () => {
    expect(() => openCapture(join(folder, "none", "x"))).toThrow(expect.objectContaining({ code: "ERR_CONFIG_FILE" }));
  });
});
