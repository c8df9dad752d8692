/** A proxy in a process of its own with 256 descriptors, and more clients than it can have. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collect, scratchFolder } from "../../transport/streams.ts";
import { bundle } from "../bundle.ts";
import { cleanups, echo, until } from "../fixture.ts";

const folder = scratchFolder();
const script = join(folder, "proxy.mjs");
const path = join(folder, "proxy.sock");

const SOURCE = `
import { createInterface } from "node:readline";
import { startEgress } from "./parent/egress/egress.ts";
import { createTransport } from "./transport/create.ts";
const target = "echo.test:443";
const lines = [];
const egress = await startEgress({
  transport: createTransport(),
  address: { kind: "unix", path: process.argv[3] },
  door: { kind: "port", target },
  allowlist: [target],
  hosts: { [target]: "127.0.0.1:" + process.argv[2] },
  log: (event) => { if (event.connectionId === undefined) lines.push(event); },
});
const tell = () => console.log(JSON.stringify({ ...egress.stats(), lines, cpuMs: process.cpuUsage().user / 1_000 }));
createInterface({ input: process.stdin }).on("line", tell).on("close", () => process.exit(0));
tell();
`;

interface Report {
  readonly open: number;
  readonly accepted: number;
  readonly lines: readonly unknown[];
  readonly cpuMs: number;
}

beforeAll(() => bundle(SOURCE, script));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill();
});

test("R25, V17: 256 descriptors and 600 clients: it lives, does not spin, and serves all when they are gone", async () => {
  const port = await echo();
  const command = 'ulimit -n 256; exec "$0" "$@"';
  const child = spawn("/bin/sh", ["-c", command, process.execPath, script, `${port}`, path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const report = async (): Promise<Report> => JSON.parse(String((await lines.next()).value)) as Report;
  const ask = (): Promise<Report> => {
    child.stdin.write("\n");
    return report();
  };
  await report();

  let [answered, ended] = [0, 0];
  const clients = Array.from({ length: 600 }, (): Socket => {
    const socket = connect({ path }).on("error", () => {});
    cleanups.push(() => socket.destroy());
    socket.once("data", () => answered++).once("close", () => ended++);
    socket.write("x");
    return socket;
  });
  await until(() => answered + ended >= clients.length);
  expect(answered).toBeGreaterThan(50);
  const during = await ask();
  const later = await ask();
  expect(during.open).toBeLessThanOrEqual(128);
  expect(later.cpuMs - during.cpuMs).toBeLessThan(200);
  expect(during.lines.length).toBeLessThanOrEqual(1);

  for (const client of clients) client.destroy();
  let { open } = await ask();
  while (open > 0) ({ open } = await ask());
  const again = connect({ path, allowHalfOpen: true });
  again.end("alive");
  expect((await collect(again)).toString()).toBe("alive");
  const exited = once(child, "exit");
  child.stdin.end();
  expect(await exited).toEqual([0, null]);
});
