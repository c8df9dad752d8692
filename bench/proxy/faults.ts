/**
 * Q6 to Q11, Q13 and Q14: what a proxy must live through.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { downloadAfterEnd, flood, gone, oneRequest, open, pingPong, resetAfter } from "./client.ts";
import { descriptors, startOurs, startProgram } from "./contestants.ts";
import type { Bed, Verdict } from "./row.ts";

const MIB = 1_048_576;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
type State = {
  readonly open: number;
  readonly stats: { readonly open: number; readonly failed: number };
  readonly events: Readonly<Record<string, number>>;
};

/** Milliseconds until it holds; it is asked every 5. */
async function until(holds: () => Promise<boolean> | boolean, limitMs: number): Promise<number> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > limitMs) return Number.POSITIVE_INFINITY;
    await sleep(5);
  }
  return performance.now() - start;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export async function upstreamDeath({ ours, folder }: Bed): Promise<Verdict> {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  const refusing = await startOurs(`${folder}/refused`, port);
  let widest = 0;
  let last = performance.now();
  const other = await open(ours.door);
  other.write("E");
  const beat = setInterval(() => other.write("x"), 5);
  other.on("data", () => {
    widest = Math.max(widest, performance.now() - last);
    last = performance.now();
  });
  const reset = await timed(() => resetAfter(ours.door, 1));
  const refused = await timed(async () => gone(await open(refusing.door)));
  clearInterval(beat);
  other.destroy();
  return {
    passed: reset <= 100 && refused <= 100 && widest <= 50,
    figure: `reset told after ${reset.toFixed(0)} ms, refusal after ${refused.toFixed(0)} (100); longest gap of another connection ${widest.toFixed(0)} ms (50)`,
  };
}

export async function enclaveRestart({ ours, upstream }: Bed): Promise<Verdict> {
  const path = fileURLToPath(new URL("./holder.js", import.meta.url));
  const door = "path" in ours.door ? ours.door.path : "";
  const holder = spawn(process.execPath, [path, door, "500"], { stdio: ["ignore", "pipe", "inherit"] });
  await once(holder.stdout, "data");
  const held = (await upstream.ask<State>()).open;
  holder.kill("SIGKILL");
  const closedMs = await until(async () => (await upstream.ask<State>()).open === 0, 5_000);
  const again = await timed(() => Promise.all(Array.from({ length: 500 }, () => oneRequest(ours.door))));
  return {
    passed: held === 500 && closedMs <= 1_000 && again <= 1_000,
    figure: `${held} peers vanish: upstream sockets gone after ${closedMs.toFixed(0)} ms (1 000); 500 new requests served in ${again.toFixed(0)} ms (1 000)`,
  };
}

export async function drain({ upstream, folder }: Bed): Promise<Verdict> {
  const leaving = await startOurs(`${folder}/drained`, upstream.port);
  const transfers = Array.from({ length: 100 }, () => downloadAfterEnd(leaving.door, 10 * MIB));
  await until(async () => (await leaving.program.ask<State>()).stats.open === 100, 5_000);
  const start = performance.now();
  const ended = leaving.program.ask<{ forced: number }>(JSON.stringify({ do: "drain", deadlineMs: 30_000 }));
  await sleep(10);
  const isTaken = await open(leaving.door).then(
    async (socket) => {
      socket.write("Ex");
      await gone(socket);
      return socket.bytesRead > 0;
    },
    () => false,
  );
  const { forced } = await ended;
  const took = performance.now() - start;
  const failures = (await Promise.allSettled(transfers)).filter(({ status }) => status === "rejected").length;
  return {
    passed: !isTaken && forced === 0 && failures === 0 && took <= 30_000,
    figure: `100 transfers of 10 MiB under way: ${failures} lost, ${forced} forced, ${isTaken ? "a" : "no"} new one taken, over in ${(took / 1_000).toFixed(1)} s (30)`,
  };
}

export async function reload({ ours }: Bed): Promise<Verdict> {
  let failures = 0;
  let isOver = false;
  const worker = async (): Promise<void> => {
    while (!isOver) await oneRequest(ours.door).catch(() => failures++);
  };
  const workers = Array.from({ length: 16 }, worker);
  for (let round = 0; round < 50; round++) await ours.program.ask(JSON.stringify({ do: "update" }));
  const bad = await ours.program.ask<{ refused?: string }>(JSON.stringify({ do: "update", allowlist: ["*"] }));
  isOver = true;
  await Promise.all(workers);
  return {
    passed: failures === 0 && bad.refused !== undefined,
    figure: `50 updates under load: ${failures} requests lost; a bad list is refused with ${bad.refused}`,
  };
}

export async function descriptorExhaustion({ upstream, folder }: Bed): Promise<Verdict> {
  const poor = await startOurs(`${folder}/poor`, upstream.port, { descriptors: 256 });
  const sockets: Socket[] = [];
  for (let i = 0; i < 1_000; i++) {
    const socket = await open(poor.door).catch(() => undefined);
    if (socket) sockets.push(socket);
    socket?.write("E");
  }
  await sleep(3_000);
  const { events } = await poor.program.ask<State>();
  for (const socket of sockets) socket.destroy();
  const start = performance.now();
  const served = await until(
    () =>
      oneRequest(poor.door).then(
        () => true,
        () => false,
      ),
    5_000,
  );
  const pauses = events["paused"] ?? 0;
  return {
    // libuv closes what it can not accept from a Unix socket and says nothing; over vsock it is a pause that is told.
    passed: served <= 1_000 && pauses <= 10,
    figure: `256 descriptors, 1 000 dials: alive, ${pauses} lines about it, full service ${served.toFixed(0)} ms after the pressure ends (1 000), ${descriptors(poor.program.child)} descriptors open after ${(performance.now() - start).toFixed(0)} ms`,
  };
}

export async function nameOutage({ upstream, folder, scale }: Bed): Promise<Verdict> {
  const names = await startProgram("./names.js");
  const resolver = { servers: [`127.0.0.1:${Number(names.ready["port"])}`] };
  const door = await startOurs(`${folder}/names`, upstream.port, { resolver });
  const living = await open(door.door);
  living.write("E");
  await oneRequest(door.door);
  await names.ask("silent");
  const start = performance.now();
  let beats = 0;
  living.on("data", () => beats++);
  while (performance.now() - start < scale.outageSeconds * 1_000) {
    living.write("x");
    await oneRequest(door.door).catch(() => undefined);
    await sleep(200);
  }
  const isUntouched = !living.destroyed && beats > 0;
  await names.ask("answer");
  const back = await until(
    () =>
      oneRequest(door.door).then(
        () => true,
        () => false,
      ),
    10_000,
  );
  living.destroy();
  return {
    passed: isUntouched && back <= 2_000,
    figure: `${scale.outageSeconds} s without DNS: the open connection ${isUntouched ? "goes on" : "was lost"}; new ones served ${back.toFixed(0)} ms after it returned (2 000)`,
  };
}

export async function floods({ ours }: Bed): Promise<Verdict> {
  const took = await timed(() => flood(ours.door, 64 * MIB));
  return { passed: took <= 5_000, figure: `64 MiB both ways at once: exact, in ${(took / 1_000).toFixed(1)} s (5)` };
}

/** That a proxy still works is asked last. */
export async function stillServes({ ours }: Bed): Promise<void> {
  await pingPong(ours.door, 1, 10);
}
