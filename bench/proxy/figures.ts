/**
 * Q1 to Q5: how much, how fast, in how much memory. Beside no proxy at all and beside other proxies where that says something.
 *
 * Latency and throughput are compared within a round, so that what slows the machine slows all of them.
 *
 * @module
 */
import type { Socket } from "node:net";
import { alternate, type Contestant as Racer, ratio } from "../rounds.ts";
import { downloadAfterEnd, oneRequest, open, pingPong, uploadCounted } from "./client.ts";
import { type Contestant, descriptors, residentKiB } from "./contestants.ts";
import type { Bed, Verdict } from "./row.ts";

const MIB = 1_048_576;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function holdConnections({ ours, scale }: Bed): Promise<Verdict> {
  const { child } = ours.program;
  const [idle, active, seconds] = [scale.idle, scale.active, scale.holdSeconds];
  let resets = 0;
  const watch = (socket: Socket): Socket => socket.on("error", () => resets++);
  const sockets: Socket[] = [];
  const before = residentKiB(child);
  const add = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left -= 100) {
      const more = await Promise.all(Array.from({ length: Math.min(100, left) }, () => open(ours.door)));
      sockets.push(...more.map(watch));
    }
  };
  await add(idle);
  for (const socket of sockets) socket.write("E");
  await sleep(2_000);
  const idleKiB = (residentKiB(child) - before) / idle;
  const atIdle = residentKiB(child);
  await add(active);
  const talkers = sockets.slice(idle);
  const kibibyte = Buffer.alloc(1_024, 7);
  for (const socket of talkers) socket.write("E").valueOf();
  for (const socket of talkers) socket.resume();
  const timer = setInterval(() => {
    for (const socket of talkers) socket.write(kibibyte);
  }, 1_000);
  await sleep(seconds * 1_000);
  clearInterval(timer);
  const activeKiB = (residentKiB(child) - atIdle) / active;
  const gone = sockets.filter(({ destroyed }) => destroyed).length;
  for (const socket of sockets) socket.destroy();
  return {
    passed: resets + gone === 0 && idleKiB <= 24 && activeKiB <= 160,
    figure: `${idle} idle and ${active} active for ${seconds} s: ${resets + gone} lost; ${idleKiB.toFixed(1)} KiB an idle one (24), ${activeKiB.toFixed(1)} an active one (160)`,
  };
}

export async function churn({ ours, peers, scale }: Bed): Promise<Verdict> {
  const rate = async ({ door }: Contestant): Promise<number> => {
    const until = performance.now() + scale.churnSeconds * 1_000;
    let done = 0;
    const worker = async (): Promise<void> => {
      for (; performance.now() < until; done++) await oneRequest(door);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    return done / scale.churnSeconds;
  };
  await sleep(3_000);
  const fds = descriptors(ours.program.child);
  const own = await rate(ours);
  await sleep(1_000);
  const left = descriptors(ours.program.child) - fds;
  const others: string[] = [];
  for (const peer of peers) others.push(`${peer.name} ${(await rate(peer)).toFixed(0)}`);
  return {
    passed: own >= 2_000 && Math.abs(left) <= 2,
    figure: `${own.toFixed(0)} connections with a request a second (2 000); ${left} descriptors more afterwards; ${others.join(", ")}`,
  };
}

const percentile = (times: readonly number[], share: number): number =>
  times.toSorted((a, b) => a - b)[Math.floor(share * times.length)] ?? Number.NaN;

export async function latency(bed: Bed): Promise<Verdict> {
  const { ours, direct, peers, scale } = bed;
  const cells: string[] = [];
  const added: number[] = [];
  for (const [connections, rounds] of [
    [1, scale.pings],
    [50, scale.pings * 2],
  ] as const) {
    const times = new Map<string, number[]>();
    for (let round = 0; round < 3; round++)
      for (const each of [direct, ours, ...peers]) {
        const measured = await pingPong(each.door, connections, rounds);
        times.set(each.name, [...(times.get(each.name) ?? []), ...measured]);
      }
    const at = (name: string, share: number): number => percentile(times.get(name) ?? [], share);
    for (const name of times.keys())
      cells.push(`${name} ×${connections} ${at(name, 0.5).toFixed(0)}/${at(name, 0.99).toFixed(0)}`);
    added.push(at(ours.name, 0.5) - at(direct.name, 0.5), at(ours.name, 0.99) - at(direct.name, 0.99));
  }
  const [p50 = 0, p99 = 0, , p99Of50 = 0] = added;
  return {
    passed: p50 <= 60 && p99 <= 500 && p99Of50 <= 3_000,
    figure: `added ${p50.toFixed(0)} µs at p50 (60), ${p99.toFixed(0)} at p99 (500), ${p99Of50.toFixed(0)} at p99 of 50 (3 000); p50/p99 µs: ${cells.join(", ")}`,
  };
}

export async function throughput(bed: Bed): Promise<Verdict> {
  const { ours, direct, peers, scale } = bed;
  const cells: string[] = [];
  const verdicts: boolean[] = [];
  for (const [streams, wanted] of [
    [1, 400],
    [8, 500],
  ] as const) {
    const children = [bed.upstream, bed.ours, ...peers].flatMap(({ child }) => child?.pid ?? []);
    const racer = ({ name, door }: Contestant): Racer => ({
      name,
      run: async () => {
        await Promise.all(
          Array.from({ length: streams }, () => uploadCounted(door, (scale.uploadMiB / streams) * MIB)),
        );
        return scale.uploadMiB;
      },
    });
    const outcome = await alternate([direct, ours, ...peers].map(racer), { wanted: 5, limitMs: 20_000, children });
    const rate = (name: string): number =>
      1e6 / (outcome.rounds.map((round) => round.get(name)?.wall ?? 0).toSorted((a, b) => a - b)[2] ?? Number.NaN);
    for (const { name } of [direct, ours, ...peers]) cells.push(`${name} ×${streams} ${rate(name).toFixed(0)}`);
    const haproxy = peers.find(({ name }) => name === "haproxy");
    const share = haproxy ? 1 / ratio(outcome, ours.name, haproxy.name, "wall").median : Number.NaN;
    if (haproxy) cells.push(`${share.toFixed(2)} of haproxy (0.6)`);
    verdicts.push(rate(ours.name) >= wanted && !(share < 0.6));
  }
  return { passed: verdicts.every(Boolean), figure: `MiB/s (400 in one stream, 500 in 8): ${cells.join(", ")}` };
}

export async function stalledReaders({ ours, scale }: Bed): Promise<Verdict> {
  const { child } = ours.program;
  await sleep(3_000);
  const before = residentKiB(child);
  const sockets = await Promise.all(Array.from({ length: scale.stalled }, () => open(ours.door)));
  const head = Buffer.from([0x44, 0x7f, 0xff, 0xff, 0xff]);
  for (const socket of sockets) socket.pause().write(head);
  await sleep(15_000);
  const first = residentKiB(child);
  await sleep(scale.stallSeconds * 1_000);
  const last = residentKiB(child);
  for (const socket of sockets) socket.destroy();
  const [added, growth] = [(last - before) / 1_024, (last - first) / 1_024];
  return {
    passed: added <= 200 && growth <= 10,
    figure: `${scale.stalled} stalled readers: ${added.toFixed(0)} MiB more (200), ${growth.toFixed(1)} MiB growth in ${scale.stallSeconds} s`,
  };
}

export async function halfClose({ ours }: Bed): Promise<Verdict> {
  await downloadAfterEnd(ours.door, 100 * MIB);
  return { passed: true, figure: "100 MiB after the client's end: exact" };
}
