/**
 * The guest's program: lets the contestants run in turn, each in processes of its own, and tells of each on the console.
 *
 *   node main.mjs PLAN                            the whole: PLAN is JSON
 *   node main.mjs server|client|both KIND PORT BYTES TRIPS
 *   node main.mjs nsm CALLS
 *   node main.mjs egress PORT
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { type Contestant, runOne } from "./contestant.ts";
import { measure, serve } from "./endpoints.ts";
import { LINK_KINDS, openLinks } from "./links.ts";
import { measureNsm, requestsInHex } from "./nsm.ts";
import { proxies, runEgress } from "./proxies.ts";
import { clockLine, type Plan, roundLine, sampleLine } from "./samples.ts";

const NODE_VSOCK = "/app/node-vsock.node";
const PLAIN = "/bin/plain";
const FIRST_PORT = 20_000;
const CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/** Round trips take some hundred microseconds: a coarser clock says nothing of them. */
const CLOCK_STEP_MAX_US = 50;

function contestants(plan: Plan, round: number): Contestant[] {
  const { groups, calls } = plan;
  const node = [process.execPath, process.argv[1] ?? ""];
  const all: Contestant[] = [
    ...links(plan, round, node),
    {
      group: "nsm",
      name: "plain C, /dev/nsm",
      servers: [],
      client: [PLAIN, "nsm", ...requestsInHex(), String(calls)],
    },
    { group: "nsm", name: "cloister, /dev/nsm", servers: [], client: [...node, "nsm", String(calls)] },
    ...proxies(plan, round, node),
  ];
  return all.filter(({ group }) => groups.includes(group));
}

function links({ bytes, trips, hasNodeVsock }: Plan, round: number, node: readonly string[]): Contestant[] {
  // A port is not used twice: node-vsock keeps what it listens on.
  const port = String(FIRST_PORT + round);
  const sizes = [bytes, trips].map(String);
  const two = (name: string, [server, client]: readonly [readonly string[], readonly string[]]): Contestant => ({
    group: "vsock",
    name,
    servers: [{ command: server, says: "ready" }],
    client,
  });
  const inNode = (name: string, kind: string): Contestant =>
    two(name, [
      [...node, "server", kind, port, ...sizes],
      [...node, "client", kind, port, ...sizes],
    ]);
  const both = [...node, "both", "cloister", port, ...sizes];
  return [
    two("plain C", [
      [PLAIN, "server", port],
      [PLAIN, "client", port, ...sizes],
    ]),
    inNode("cloister", "cloister"),
    { group: "vsock", name: "cloister, both ends in one process", servers: [], client: both },
    ...(hasNodeVsock
      ? [inNode("node-vsock, raw", "node-vsock-raw"), inNode("node-vsock, our driver for it", "node-vsock-driver")]
      : []),
  ];
}

/** @throws {RangeError} it is too coarse */
function describeClock(): string {
  let stepUs = Number.POSITIVE_INFINITY;
  let before = process.hrtime.bigint();
  for (let i = 0; i < 10_000; i++) {
    const now = process.hrtime.bigint();
    if (now > before) stepUs = Math.min(stepUs, Number(now - before) / 1000);
    before = now;
  }
  const clock = `${readFileSync(CLOCK_SOURCE, "utf8").trim()}, in steps of ${stepUs.toFixed(1)} µs or less`;
  if (stepUs <= CLOCK_STEP_MAX_US) return clock;
  throw new RangeError(`the guest's clock is too coarse: ${clock}`);
}

async function runAll(plan: Plan): Promise<void> {
  process.stdout.write(clockLine(describeClock()));
  for (let round = 0; round < plan.rounds; round++) {
    const all = contestants(plan, round);
    for (let i = 0; i < all.length; i++) {
      const contestant = all[(round + i) % all.length];
      if (contestant) process.stdout.write(sampleLine({ round, ...(await runOne(contestant)) }));
    }
    process.stdout.write(roundLine(round));
  }
}

async function runRole(role: string, words: readonly string[]): Promise<void> {
  const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
  if (role === "nsm") return say(await measureNsm(Number(words[0])));
  if (role === "egress") return runEgress(Number(words[0]));
  const kind = LINK_KINDS.find((each) => each === words[0]);
  if (!kind) throw new TypeError(`no such contestant: ${words[0]}`);
  const [port = 0, bytes = 0, trips = 0] = words.slice(1).map(Number);
  const links = openLinks(kind, NODE_VSOCK);
  if (role !== "client") await serve(links, port);
  if (role === "server") say("ready");
  else say(await measure(links, port, { bytes, trips }));
}

const [first = "", ...words] = process.argv.slice(2);
if (first.startsWith("{")) await runAll(JSON.parse(first) as Plan);
else await runRole(first, words);
