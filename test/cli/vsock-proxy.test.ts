import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTransport } from "../../transport/create.ts";
import { cloister } from "../built.ts";
import { codeOf, collect, digest, pattern, send } from "../transport/streams.ts";
import { file, type Running, run, shortFolder } from "./parent-bed.ts";

const transport = createTransport();
const folder = shortFolder();
const running: Running[] = [];
let server: Server;
let port: string;

beforeAll(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => undefined).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = String((server.address() as { port: number }).port);
});
afterAll(async () => {
  for (const { child, ended } of running) {
    child.kill("SIGKILL");
    await ended;
  }
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** AWS's own file, its form as in its README. */
const allowing = (address: string, remote = port): string =>
  file(
    folder,
    "vsock-proxy.yaml",
    `allowlist:\n- {address: ${address}, port: ${remote}}\n- {address: kms.us-east-1.amazonaws.com, port: 443}\n`,
    0o644,
  );

async function proxy(...args: string[]): Promise<Running> {
  const started = run(["vsock-proxy", "--transport", `unix://${folder}`, ...args]);
  running.push(started);
  await started.says("vsock-proxy listens on");
  return started;
}

const through = async (local: string, bytes = pattern(100_000)): Promise<boolean> => {
  const socket = await transport.connect({ kind: "unix", path: join(folder, local) });
  const [back] = await Promise.all([collect(socket), send(socket, bytes).then(() => socket.end())]);
  return digest(back) === digest(bytes);
};

describe("cloister vsock-proxy", () => {
  test("AWS's command line and file work, and half-close is kept", async () => {
    const config = allowing("127.0.0.1");
    for (const [local, options] of [
      ["8000", ["--config", config]],
      ["8001", ["--num_workers", "2", "--config", config]],
      ["8002", ["-w", "20", `--config=${config}`, "-4"]],
      ["8003", ["--ipv4", "--config", config]],
    ] as const) {
      const started = await proxy(...options, local, "127.0.0.1", port);
      expect(await through(local), local).toBe(true);
      started.child.kill("SIGTERM");
      expect(await started.ended).toBe(0);
    }
  });

  test("four workers are no limit: a fifth connection does not wait for the first", async () => {
    const started = await proxy("-w", "4", "--config", allowing("127.0.0.1"), "8010", "127.0.0.1", port);
    const at = { kind: "unix", path: join(folder, "8010") } as const;
    const held = await Promise.all(Array.from({ length: 4 }, () => transport.connect(at)));
    expect(await through("8010")).toBe(true);
    for (const socket of held) socket.destroy();
    started.child.kill("SIGTERM");
    expect(await started.ended).toBe(0);
  });

  test("a name is resolved by the system when asked to, IPv6 alone finds nothing of IPv4's", async () => {
    const config = allowing("localhost");
    const started = await proxy("--system-resolver", "-4", "--config", config, "8020", "localhost", port);
    expect(await through("8020")).toBe(true);
    const six = await proxy("--system-resolver", "-6", "--config", config, "8021", "localhost", port);
    const socket = await transport.connect({ kind: "unix", path: join(folder, "8021") });
    expect((await collect(socket)).length).toBe(0);
    await six.says('"event":"refused"');
    for (const { child } of [started, six]) child.kill("SIGTERM");
    expect([await started.ended, await six.ended]).toEqual([0, 0]);
  });

  test("R10: a host with an allowed host's address is not allowed: nothing is started", async () => {
    const ran = await cloister([
      "vsock-proxy",
      "--transport",
      `unix://${folder}`,
      "--config",
      allowing("localhost"),
      "8030",
      "127.0.0.1",
      port,
    ]);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("ERR_CONFIG_FIELD_INVALID");
    expect(await codeOf(transport.connect({ kind: "unix", path: join(folder, "8030") }))).toBe(
      "ERR_TRANSPORT_UNREACHABLE",
    );
  });

  test("R15: SIGHUP reads the file again; one without the target closes the door, a bad one changes nothing", async () => {
    const started = await proxy("--config", allowing("127.0.0.1"), "8040", "127.0.0.1", port);
    allowing("127.0.0.1", "oops");
    started.child.kill("SIGHUP");
    await started.says("reload-refused");
    expect(await through("8040")).toBe(true);
    allowing("127.0.0.2");
    started.child.kill("SIGHUP");
    await started.says('"event":"reloaded"');
    expect((await collect(await transport.connect({ kind: "unix", path: join(folder, "8040") }))).length).toBe(0);
    started.child.kill("SIGTERM");
    expect(await started.ended).toBe(0);
  });

  test.each<[string, readonly string[]]>([
    ["no operands", []],
    ["two operands", ["8000", "localhost"]],
    ["a local port that is no number", ["x", "localhost", "443"]],
    ["R11: a remote port with a leading zero", ["8000", "localhost", "0443"]],
    ["R11: a remote port of 70000", ["8000", "localhost", "70000"]],
    ["R11: a remote port of 0", ["8000", "localhost", "0"]],
    ["no workers", ["-w", "0", "8000", "localhost", "443"]],
    ["IPv4 where IPv6 was asked for", ["-6", "8000", "127.0.0.1", "443"]],
    ["both families", ["-4", "-6", "8000", "localhost", "443"]],
    ["an option of nobody's", ["--workers", "4", "8000", "localhost", "443"]],
    ["R12: an address with a user", ["8000", "a@localhost", "443"]],
    ["a file that is not there", ["--config", "/nowhere/x.yaml", "8000", "localhost", "443"]],
    ["the parent's own context id", ["--allow-cid", "3", "8000", "localhost", "443"]],
  ])("%s: exit code 2", async (_, args) => {
    const ran = await cloister(["vsock-proxy", ...args]);
    expect(ran).toMatchObject({ code: 2, stdout: "" });
  });

  test.each(["-h", "--help"])("%s shows the usage", async (option) => {
    const ran = await cloister(["vsock-proxy", option]);
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain("--num_workers");
  });
});
