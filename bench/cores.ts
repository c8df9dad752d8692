/**
 * What a second core gives: the same documents, eight at a time, with this process held to one core and to two.
 *
 * WebCrypto checks signatures on libuv's threads, so that calls of one process run side by side without workers.
 * `taskset` moves all threads of this process between the rounds' halves; where it is missing, nothing is measured.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { BenchDocument } from "./documents.ts";
import { alternate, type Contestant, ratio } from "./rounds.ts";

const IN_FLIGHT = 8;
const PER_ROUND = 48;
const ROUNDS = 15;

export async function coreScaling(
  documents: readonly BenchDocument[],
  verify: (document: BenchDocument) => Promise<unknown>,
): Promise<string> {
  const allowed = allowedCores();
  const [first, second] = allowed;
  if (first === undefined || second === undefined) return "a second core: not measured, this process may use one";
  try {
    const [one, two] = [[first], [first, second]].map((cores) => pinned(cores, documents, verify));
    if (!one || !two) throw new TypeError("there are two ways to run");
    const samples = await alternate([one, two], ROUNDS);
    moveTo(allowed);
    const { low, median, high } = ratio(samples, one.name, two.name, "wall");
    const figure = `${median.toFixed(2)} × (${low.toFixed(2)}–${high.toFixed(2)})`;
    return `throughput on two cores ÷ on one, ${IN_FLIGHT} documents in flight: ${figure}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return "a second core: not measured, taskset is needed";
  }
}

/** From the kernel, e.g. `0-1,4`; empty where there is no Linux. */
function allowedCores(): number[] {
  if (!existsSync("/proc/self/status")) return [];
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return list.split(",").flatMap((range) => {
    const [from = 0, to = from] = range.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function moveTo(cores: readonly number[]): void {
  const list = cores.join(",");
  execFileSync("taskset", ["--all-tasks", "--pid", "--cpu-list", list, String(process.pid)], { stdio: "pipe" });
}

function pinned(
  cores: readonly number[],
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
