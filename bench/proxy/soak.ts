/**
 * Hours in small: streams of every kind through the proxy while everything around it fails, at moments that a seed decides.
 *
 *   node dist/bench/proxy/soak.js <minutes> <seed>
 *
 *   clients    write in slices, pause, read slowly, end early, go away
 *   servers    reset
 *   names      fall silent for some seconds
 *   enclaves   vanish with 50 connections open
 *   system     has 512 descriptors for the proxy and 700 clients who want one
 *
 * Whole means whole: a stream that nobody cut must arrive byte for byte. Prints one line of JSON; 1 where something was
 * lost, leaked or grew.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { downloadAfterEnd, flood, oneRequest, open, readAll, resetAfter } from "./client.ts";
import { descriptors, endAll, residentKiB, startOurs, startProgram } from "./contestants.ts";
import { patternAt, patternDigest } from "./pattern.ts";

const [, , minutes = "3", seed = "1"] = process.argv;
const random = mulberry32(Number(seed));
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const between = (low: number, high: number): number => Math.floor(low + random() * (high - low));

/** A small generator that a seed repeats. */
function mulberry32(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const folder = mkdtempSync(join(tmpdir(), "cloister-soak-"));
const upstream = await startProgram("./upstream.js");
const names = await startProgram("./names.js");
const ours = await startOurs(folder, Number(upstream.ready["port"]), {
  descriptors: 512,
  resolver: { servers: [`127.0.0.1:${Number(names.ready["port"])}`] },
});
const { door } = ours;
const counts = { whole: 0, cut: 0, wrong: 0, faults: 0 };
const wrongs: string[] = [];
/** While it is not zero, a connection may fail: the system has no descriptors, or names no addresses. */
let hardTimes = 0;
let isOver = false;

async function slicedUpload(): Promise<void> {
  const count = between(1, 400_000);
  const socket = await open(door);
  const answer = readAll(socket);
  socket.write("U");
  for (let sent = 0; sent < count; ) {
    const size = Math.min(between(1, 20_000), count - sent);
    socket.write(patternAt(sent, size));
    sent += size;
    await sleep(between(0, 20));
  }
  socket.end();
  if ((await answer).toString() !== patternDigest(count))
    throw new Error(`an upload of ${count} bytes is not what was sent`);
}

async function slowDownload(): Promise<void> {
  const count = between(1, 2_000_000);
  const head = Buffer.alloc(5, "D");
  head.writeUInt32BE(count, 1);
  const socket = await open(door);
  socket.end(head);
  let got = 0;
  for await (const chunk of socket) {
    const bytes = chunk as Buffer;
    for (let at = 0; at < bytes.length; at += 65_536) {
      const part = bytes.subarray(at, at + 65_536);
      if (!part.equals(patternAt(got, part.length))) throw new Error(`byte ${got} or one soon behind it is another`);
      got += part.length;
    }
    if (random() < 0.1) await sleep(between(1, 300));
  }
  if (got !== count) throw new Error(`${got} of ${count} bytes came`);
}

async function cutShort(): Promise<void> {
  const socket = await open(door);
  socket.write("E");
  socket.write(patternAt(0, between(1, 60_000)));
  await sleep(between(0, 30));
  socket.destroy();
}

/** Up to which share of all choices it is this one. */
const KINDS: readonly (readonly [upTo: number, kind: () => Promise<unknown>, isCut?: boolean])[] = [
  [0.35, () => oneRequest(door)],
  [0.55, slicedUpload],
  [0.75, slowDownload],
  [0.8, () => flood(door, between(1, 1_000_000))],
  [0.85, () => downloadAfterEnd(door, between(1, 3_000_000))],
  [0.95, cutShort, true],
  [1, () => resetAfter(door, between(1, 100_000)), true],
];

async function client(): Promise<void> {
  while (!isOver) {
    const choice = random();
    const [, kind, isCut] = KINDS.find(([upTo]) => choice < upTo) ?? [];
    const wasHard = hardTimes > 0;
    try {
      await kind?.();
      counts[isCut ? "cut" : "whole"]++;
    } catch (error) {
      if (isCut || wasHard || hardTimes > 0) counts.cut++;
      else {
        counts.wrong++;
        wrongs.push(String(error));
      }
    }
    await sleep(between(0, 60));
  }
}

/** Streams that were there when it began may be cut by it, and some time afterwards. */
async function hard(work: () => Promise<void>): Promise<void> {
  hardTimes++;
  counts.faults++;
  await work();
  await sleep(3_000);
  hardTimes--;
}

async function vanishingEnclave(): Promise<void> {
  const path = fileURLToPath(new URL("./holder.js", import.meta.url));
  const holder = spawn(process.execPath, [path, "path" in door ? door.path : "", "50"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([once(holder.stdout, "data"), once(holder, "exit")]);
  holder.kill("SIGKILL");
  counts.faults++;
}

async function silentNames(): Promise<void> {
  await names.ask("silent");
  await sleep(between(2_000, 6_000));
  await names.ask("answer");
}

async function exhaustion(): Promise<void> {
  const tries = await Promise.allSettled(Array.from({ length: 700 }, () => open(door)));
  const sockets = tries.flatMap((tried) => (tried.status === "fulfilled" ? tried.value : []));
  for (const socket of sockets) socket.write("E");
  await sleep(2_000);
  for (const socket of sockets) socket.destroy();
}

async function misfortune(): Promise<void> {
  while (!isOver) {
    await sleep(between(5_000, 12_000));
    const choice = random();
    if (choice < 0.4) await vanishingEnclave();
    else if (choice < 0.7) await hard(silentNames);
    else await hard(exhaustion);
  }
}

interface State {
  readonly open: number;
  readonly lagMs: number;
}

const memory: number[] = [];
const lags: number[] = [];
await oneRequest(door);
const baseline = descriptors(ours.program.child);
const ends = performance.now() + Number(minutes) * 60_000;
const work = [...Array.from({ length: 24 }, client), misfortune()];
while (performance.now() < ends) {
  await sleep(5_000);
  if (ours.program.child.exitCode !== null) break;
  memory.push(residentKiB(ours.program.child) / 1_024);
  lags.push((await ours.program.ask<State>()).lagMs);
}
isOver = true;
await Promise.all(work);
await sleep(2_000);
const left = descriptors(ours.program.child) - baseline;
const { open: sockets } = await upstream.ask<State>();
const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
// Of a soak of seconds there are no thirds to compare.
const third = Math.max(1, Math.floor(memory.length / 3));
const growthMiB = middle(memory.slice(-third)) - middle(memory.slice(third, 2 * third));
const report = {
  ...{ minutes: Number(minutes), seed: Number(seed), ...counts, descriptorsLeft: left, upstreamSocketsLeft: sockets },
  growthMiB: Number(growthMiB.toFixed(1)),
  residentMiB: memory.map((mib) => Math.round(mib)),
  lagP99Ms: Number(middle(lags).toFixed(1)),
  isAlive: ours.program.child.exitCode === null,
  wrongs: wrongs.slice(0, 10),
};
console.log(JSON.stringify(report));
const isSound = report.isAlive && counts.wrong === 0 && counts.whole > 0 && Math.abs(left) <= 2 && sockets === 0;
process.exitCode = isSound && growthMiB <= 24 ? 0 : 1;
endAll();
rmSync(folder, { recursive: true, force: true });
process.exit();
