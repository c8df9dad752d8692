/**
 * Holds this process to one core or to two, and measures what the second gives.
 *
 * WebCrypto checks signatures on libuv's threads, so that calls of one process run side by side without workers. On one
 * core the time is the work; on two it is how long an answer takes. Linux, with `taskset`, which moves every thread of a
 * running process; elsewhere the process stays where it is, and nothing is said of a second core.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { BenchDocument } from "./documents.ts";
import { alternate, type Contestant, quietness, ratio } from "./rounds.ts";

const IN_FLIGHT = 8;
const PER_ROUND = 48;

export async function coreScaling(
  documents: readonly BenchDocument[],
  verify: (document: BenchDocument) => Promise<unknown>,
  limitMs: number,
): Promise<string> {
  const [first, second] = allowedCores();
  if (second === undefined) return "a second core: not measured";
  const [one, two] = [pinned([first], documents, verify), pinned([first, second], documents, verify)];
  const outcome = await onCores([first, second], () => alternate([one, two], { wanted: 15, limitMs }));
  const { low, median, high } = ratio(outcome, one.name, two.name, "wall");
  const quartiles = `${low.toFixed(2)}–${high.toFixed(2)}`;
  return `throughput on two cores ÷ on one, ${IN_FLIGHT} documents in flight: ${median.toFixed(2)} × (${quartiles})\n(${quietness(outcome)})`;
}

/** The cores that this process may use and can be moved between; `[undefined]` where it can not be moved. */
export function allowedCores(): readonly [number | undefined, ...number[]] {
  const list = existsSync("/proc/self/status")
    ? /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
    : undefined;
  const [first, ...others] = (list ?? "").split(",").flatMap((range) => {
    const [from = Number.NaN, to = from] = range.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
  if (first === undefined || !existsSync("/usr/bin/taskset")) return [undefined];
  return [first, ...others];
}

/** Does the work on these cores, and gives the process back all it had. */
export async function onCores<Result>(cores: Cores, work: () => Promise<Result>): Promise<Result> {
  const before = allowedCores();
  moveTo(cores);
  try {
    return await work();
  } finally {
    moveTo(before);
  }
}

type Cores = readonly (number | undefined)[];

function moveTo(cores: Cores): void {
  if (cores.includes(undefined)) return;
  const list = cores.join(",");
  execFileSync("taskset", ["--all-tasks", "--pid", "--cpu-list", list, String(process.pid)], { stdio: "pipe" });
}

function pinned(
  cores: Cores,
  documents: readonly BenchDocument[],
  verify: (document: BenchDocument) => Promise<unknown>,
): Contestant {
  const run = async (): Promise<number> => {
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < PER_ROUND) {
        const document = documents[next++ % documents.length];
        if (document) await verify(document);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, work));
    return PER_ROUND;
  };
  return { name: `cores ${cores.join()}`, prepare: async () => moveTo(cores), run };
}
