/**
 * The guest's program: lets the contestants run in turn, each in processes of its own, and tells of each on the console.
 *
 *   node main.mjs PLAN                            the whole: PLAN is JSON
 *   node main.mjs server|client|both KIND PORT BYTES TRIPS
 *   node main.mjs nsm CALLS
 *
 * Processes are new in each round, so that none profits from what another has left, and are killed when the contestant
 * is done or has taken too long.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { measure, serve } from "./endpoints.ts";
import { LINK_KINDS, openLinks } from "./links.ts";
import { measureNsm, requestsInHex } from "./nsm.ts";
import { CONTESTANT_MS, clockLine, type Plan, roundLine, type Sample, sampleLine } from "./samples.ts";

interface Contestant {
  readonly name: string;
  readonly server?: readonly string[];
  readonly client: readonly string[];
}

const NODE_VSOCK = "/app/node-vsock.node";
const PLAIN = "/bin/plain";
const CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/** Round trips take some hundred microseconds: a coarser clock says nothing of them. */
const CLOCK_STEP_MAX_US = 50;

function contestants({ bytes, trips, calls, hasNodeVsock }: Plan, port: number): Contestant[] {
  const node = [process.execPath, process.argv[1] ?? ""];
  const sizes = [bytes, trips].map(String);
  const two = (name: string, kind: string): Contestant => ({
    name,
    server: [...node, "server", kind, String(port), ...sizes],
    client: [...node, "client", kind, String(port), ...sizes],
  });
  return [
    {
      name: "plain C",
      server: [PLAIN, "server", String(port)],
      client: [PLAIN, "client", String(port), ...sizes],
    },
    two("cloister", "cloister"),
    { name: "cloister, both ends in one process", client: [...node, "both", "cloister", String(port), ...sizes] },
    ...(hasNodeVsock
      ? [two("node-vsock, raw", "node-vsock-raw"), two("node-vsock, our driver for it", "node-vsock-driver")]
      : []),
    { name: "plain C, /dev/nsm", client: [PLAIN, "nsm", ...requestsInHex(), String(calls)] },
    { name: "cloister, /dev/nsm", client: [...node, "nsm", String(calls)] },
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
    // A port is not used twice: node-vsock keeps what it listens on.
    const all = contestants(plan, 20_000 + round);
    for (let i = 0; i < all.length; i++) {
      const contestant = all[(round + i) % all.length];
      if (contestant) process.stdout.write(sampleLine({ round, ...(await runOne(contestant)) }));
    }
    process.stdout.write(roundLine(round));
  }
}

async function runOne({ name, server, client }: Contestant): Promise<Omit<Sample, "round">> {
  const children: ChildProcess[] = [];
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${CONTESTANT_MS / 1000} s`)), CONTESTANT_MS);
  });
  const firstLine = (command: readonly string[]): Promise<string> => {
    const [file = "", ...args] = command;
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    return lineOf(child);
  };
  try {
    if (server) await Promise.race([firstLine(server), late]);
    const line = await Promise.race([firstLine(client), late]);
    return { contestant: name, figures: JSON.parse(line) as Record<string, number> };
  } catch (error) {
    return { contestant: name, failure: (error as Error).message.slice(0, 200) };
  } finally {
    clearTimeout(timer);
    await Promise.all(children.map(kill));
  }
}

/** Its first line, or why there is none. */
function lineOf(child: ChildProcess): Promise<string> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-4_000);
  });
  return new Promise((resolve, reject) => {
    if (child.stdout) createInterface({ input: child.stdout }).once("line", resolve);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const reason = complaint.split("\n").find((line) => /^(\w*Error\b|plain:)/.test(line)) ?? "";
      reject(new Error(`it ended with ${signal ?? code} ${reason}`.trim()));
    });
  });
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function runRole(role: string, words: readonly string[]): Promise<void> {
  const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
  if (role === "nsm") return say(await measureNsm(Number(words[0])));
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
