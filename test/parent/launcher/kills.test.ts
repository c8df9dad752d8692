/**
 * R26, at full size: an enclave that is killed again and again while clients use it through the parent.
 *
 *   client ─tcp─ ingress ─unix─ enclave process ─unix─ egress ─tcp─ upstream
 *
 * The enclave is the mock launcher's child process; `KILLS=100` for the long run. Each client sends numbered blocks and
 * compares what comes back; a session that ends is begun anew, as often as it takes.
 */

import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { inspectEifFile } from "../../../image/file.ts";
import { startEgress } from "../../../parent/egress/egress.ts";
import { startIngress } from "../../../parent/ingress/ingress.ts";
import { whenConnectable } from "../../../parent/launcher/readiness.ts";
import { createEnclaveRecord } from "../../../parent/launcher/record.ts";
import type { SupervisorEvent } from "../../../parent/launcher/supervision.ts";
import { createSupervisor } from "../../../parent/launcher/supervisor.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import type { EnclaveDescription, Launcher } from "../../../shared/launcher.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { APP_PORT, EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { createTransport } from "../../../transport/create.ts";
import { isAlive, mockImage, mockLauncher, scratch } from "../../launcher/fixture.ts";

const KILLS = Number(process.env["KILLS"] ?? 8);
const CLIENTS = 12;
const BLOCK = 4_096;
const GONE_MS = 1_000;

/** Joins each of its clients to the upstream, by the parent's proxy. */
const ENCLAVE = `
import { connect, createServer } from "node:net";
createServer((client) => {
  const way = connect("./parent/${EGRESS_PORT}");
  const end = () => { client.destroy(); way.destroy(); };
  for (const socket of [client, way]) socket.on("error", end).on("close", end);
  way.write("CONNECT echo.test:443 HTTP/1.1\\r\\nHost: echo.test:443\\r\\n\\r\\n");
  way.once("data", (head) => {
    if (!head.toString("latin1").startsWith("HTTP/1.1 200")) return end();
    client.pipe(way);
    way.pipe(client);
  });
}).listen("./self/${APP_PORT}");
`;

/** An echo that knows which of its connections are open, and since when the others are not. */
async function upstreamDouble(): Promise<{ port: number; open: Set<Socket>; close: () => void }> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {}).on("close", () => open.delete(socket));
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as { port: number }).port, open, close: () => void server.close() };
}

/** One client after the other, each until its connection ends. */
class Client {
  /** Sessions that were begun, that ended, and blocks that came back whole. */
  readonly counts = { begun: 0, ended: 0, echoed: 0, wrong: 0 };
  /** Which session the last block came back in. */
  echoedIn = 0;
  readonly errors = new Set<string>();
  readonly #port: number;
  #socket: Socket | undefined;
  #isStopped = false;

  constructor(port: number) {
    this.#port = port;
    this.#begin();
  }

  stop(): void {
    this.#isStopped = true;
    this.#socket?.destroy();
  }

  #begin(): void {
    const session = ++this.counts.begun;
    const socket = connect(this.#port, "127.0.0.1");
    this.#socket = socket;
    let block = Buffer.alloc(0);
    let received = Buffer.alloc(0);
    const next = (): void => {
      block = Buffer.alloc(BLOCK, `${session}:${this.counts.echoed};`);
      received = Buffer.alloc(0);
      socket.write(block);
    };
    socket.on("connect", next).on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (!block.subarray(0, received.length).equals(received)) this.counts.wrong++;
      if (received.length < BLOCK) return;
      this.counts.echoed++;
      this.echoedIn = session;
      setImmediate(next);
    });
    socket.on("error", ({ code = "?" }: NodeJS.ErrnoException) => this.errors.add(code));
    socket.once("close", () => {
      this.counts.ended++;
      if (!this.#isStopped) setTimeout(() => this.#begin(), 20);
    });
  }
}

const until = async (what: string, condition: () => boolean): Promise<number> => {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > 60_000) throw new Error(`in vain: ${what}`);
    await new Promise(setImmediate);
  }
  return performance.now() - start;
};

/** Each enclave at another context id, as on a host where the last one's is not free yet. */
function movingOn(launcher: Launcher): Launcher {
  let cid = 16;
  const { platform } = launcher;
  return {
    platform,
    run: (options) => launcher.run({ ...options, cid: cid++ }),
    list: () => launcher.list(),
    describe: (id) => launcher.describe(id),
    console: (id, options) => launcher.console(id, options),
    terminate: (id) => launcher.terminate(id),
  };
}

test(`R26: ${KILLS} kills under load`, { timeout: 60_000 + KILLS * 20_000 }, async () => {
  const state = join(await scratch(), "s");
  const parent: Peer = { kind: "unix", folder: join(state, "v", "3") };
  await mkdir(state, { mode: 0o700 });
  await mkdir(parent.folder, { recursive: true, mode: 0o700 });
  const { eifPath } = await mockImage(await scratch(), ENCLAVE);
  const { measurements } = await inspectEifFile(eifPath);
  const transport = createTransport();
  const upstream = await upstreamDouble();
  const parentEvents: ParentEvent[] = [];
  const log = (event: ParentEvent): void => void parentEvents.push(event);
  await using egress = await startEgress({
    ...{ transport, address: addressOf(parent, EGRESS_PORT), log },
    allowlist: ["echo.test:443"],
    hosts: { "echo.test:443": `127.0.0.1:${upstream.port}` },
  });
  const listen = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  await using ingress = await startIngress({ transport, listen, targets: [], log });
  const events: SupervisorEvent[] = [];
  const ups: EnclaveDescription[] = [];
  const launcher = await mockLauncher(state);
  const supervisor = createSupervisor({
    launcher: movingOn(launcher),
    launch: { eifPath, cpuCount: 1, debug: false },
    ...{ inspect: inspectEifFile, expected: { measurements } },
    record: createEnclaveRecord({ folder: join(await scratch(), "r"), name: "app" }),
    ready: whenConnectable({ transport, retryMs: 10 }),
    pollMs: 100,
    backoff: { baseMs: 50, maxMs: 200, stableMs: 0 },
    onUp: (enclave) => {
      ups.push(enclave);
      ingress.setTargets([addressOf(enclave.peer, APP_PORT)]);
    },
    onDown: () => ingress.setTargets([]),
    log: (event) => void events.push(event),
  });
  const clients: Client[] = [];
  const slowest = { goneMs: 0, backMs: 0 };
  try {
    await supervisor.start();
    await until("the first enclave", () => ups.length === 1);
    if (ingress.address.kind !== "tcp") throw new Error("clients come by TCP");
    for (let i = 0; i < CLIENTS; i++) clients.push(new Client(ingress.address.port));
    for (let kill = 1; kill <= KILLS; kill++) {
      await until("every client is served", () => clients.every(({ counts, echoedIn }) => echoedIn === counts.begun));
      const open = [...upstream.open];
      const ended = clients.map(({ counts }) => counts.ended);
      expect(open.length).toBe(CLIENTS);
      process.kill(ups.at(-1)?.processIds[0] ?? 0, "SIGKILL");
      const goneMs = await until("upstream sockets are gone", () => open.every((socket) => !upstream.open.has(socket)));
      slowest.goneMs = Math.max(slowest.goneMs, goneMs);
      expect(goneMs).toBeLessThan(GONE_MS);
      await until("clients are told", () => clients.every(({ counts }, i) => counts.ended > (ended[i] ?? 0)));
      const backMs = await until("the service is back", () => ups.length === kill + 1);
      slowest.backMs = Math.max(slowest.backMs, goneMs + backMs);
    }
    await until("every client is served", () => clients.every(({ counts, echoedIn }) => echoedIn === counts.begun));
  } finally {
    for (const client of clients) client.stop();
    await supervisor.stop();
    upstream.close();
  }
  await until("nothing is open", () => upstream.open.size + egress.stats().open + ingress.stats().open === 0);

  expect(clients.reduce((sum, { counts }) => sum + counts.wrong, 0)).toBe(0);
  // Told by an end or a reset, which says that bytes are missing; never by silence.
  const ways = new Set(clients.flatMap(({ errors }) => [...errors]));
  expect([...ways].filter((code) => code !== "ECONNRESET" && code !== "EPIPE")).toEqual([]);
  expect(clients.every(({ counts }) => counts.begun === counts.ended)).toBe(true);
  // One enclave after the other, each at another context id, and the services were told each time.
  expect(new Set(ups.map(({ cid }) => cid)).size).toBe(KILLS + 1);
  expect(supervisor.starts()).toBe(KILLS + 1);
  const life = ["started", "up", "down"];
  expect(events.map(({ event }) => event)).toEqual([
    ...Array.from({ length: KILLS }, () => [...life, "waiting"]).flat(),
    ...[...life, "stopped"],
  ]);
  const killed = events.filter(({ code }) => code === "ERR_LAUNCHER_ENDED").length;
  expect(killed).toBe(2 * KILLS);
  const opened = parentEvents.filter(({ event }) => event === "accepted").map(({ connectionId }) => connectionId);
  const closed = parentEvents.filter(({ event }) => event === "closed").map(({ connectionId }) => connectionId);
  expect(closed.toSorted()).toEqual(opened.toSorted());
  if (process.env["KILLS"]) console.info(`${KILLS} kills, at most, in ms: ${JSON.stringify(slowest)}`);
  for (const { processIds } of ups) expect(await isAlive(processIds[0] ?? 0)).toBe(false);
  expect(await launcher.list()).toEqual([]);
});
