/**
 * How fast an image is measured, beside one pass of `openssl dgst -sha384` over the same bytes, and beside AWS's crate.
 *
 *   node dist/bench/eif.js [MiB, default 1024] [a program that measures the file it is given: AWS's EifReader]
 *
 * Whole processes, start to end: the clock, the processor time that the shell's `times` gives of its child, and the most
 * resident memory that the kernel saw. The contestants take turns, ratios are taken within a round. The image is of random
 * bytes in the proportions of a real one: kernel, a small first ramdisk, and the application's.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eifParts } from "../shared/eif/write.ts";
import { machine, watchOthers } from "./machine.ts";
import { spread } from "./rounds.ts";

const ROUNDS = 5;
const MIB = 2 ** 20;
const POLL_MS = 10;

interface Usage {
  readonly wallS: number;
  readonly cpuS: number;
  readonly residentMiB: number;
}

/** Runs a program under a shell that reports what its child took. */
async function measure(command: readonly string[]): Promise<Usage> {
  const start = process.hrtime.bigint();
  const shell = spawn("sh", ["-c", '"$@" >/dev/null; code=$?; times; exit $code', "sh", ...command]);
  let output = "";
  shell.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  let residentKiB = 0;
  const poll = setInterval(() => {
    residentKiB = Math.max(residentKiB, residentOf(shell.pid));
  }, POLL_MS);
  const code = await new Promise<number | null>((resolve) => shell.once("close", resolve));
  const wallS = Number(process.hrtime.bigint() - start) / 1e9;
  clearInterval(poll);
  if (code !== 0) throw new Error(`${command[0]} failed with ${code}`);
  // The second line is the children's: user, system, as 0m1.234s.
  const times =
    output
      .trim()
      .split("\n")
      .at(-1)
      ?.matchAll(/(\d+)m([\d.]+)s/g) ?? [];
  const cpuS = Array.from(times, ([, minutes, seconds]) => 60 * Number(minutes) + Number(seconds)).reduce(
    (a, b) => a + b,
    0,
  );
  return { wallS, cpuS, residentMiB: residentKiB / 1024 };
}

/** The peak so far of the shell's child. */
function residentOf(shell: number | undefined): number {
  try {
    const child = readFileSync(`/proc/${shell}/task/${shell}/children`, "utf8").trim().split(" ")[0];
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // between two processes
  }
}

async function makeImage(path: string, mib: number): Promise<void> {
  const bytes = randomFillSync(new Uint8Array(64 * MIB));
  const kernelBytes = Math.min(12, Math.max(1, mib >> 4)) * MIB;
  const ramdisks = [bytes.subarray(0, MIB), repeated(bytes, mib * MIB - kernelBytes - MIB)];
  await using file = await open(path, "wx");
  const content = {
    architecture: "x86_64",
    kernel: bytes.subarray(0, kernelBytes),
    cmdline: "console=ttyS0",
    ramdisks,
  } as const;
  for (const part of eifParts(content)) {
    for (let at = 0; at < part.length; ) at += (await file.write(part, at)).bytesWritten;
  }
}

function repeated(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += bytes.length) out.set(bytes.subarray(0, Math.min(bytes.length, length - at)), at);
  return out;
}

async function main([mib = "1024", aws]: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "cloister-bench-"));
  try {
    const image = join(folder, "bench.eif");
    await makeImage(image, Number(mib));
    const cli = fileURLToPath(new URL("../cli/main.js", import.meta.url));
    const contestants: Readonly<Record<string, readonly string[]>> = {
      "openssl dgst -sha384": ["openssl", "dgst", "-sha384", image],
      "cloister eif measure": [process.execPath, cli, "eif", "measure", image],
      ...(aws && { "aws-nitro-enclaves-image-format": [aws, image] }),
    };
    await compare(contestants, Number(mib));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function compare(contestants: Readonly<Record<string, readonly string[]>>, mib: number): Promise<void> {
  const names = Object.keys(contestants);
  const [base = ""] = names;
  const rounds: Map<string, Usage>[] = [];
  let others = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const seen = new Map<string, Usage>();
    for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
      const share = watchOthers();
      const usage = await measure(contestants[name] ?? []);
      // The child counts as another process: what it took itself is taken off.
      others = Math.max(others, share() - usage.cpuS / (usage.wallS * availableParallelism()));
      seen.set(name, usage);
    }
    // The first round fills the page cache.
    if (round > 0) rounds.push(seen);
  }
  const median = (name: string, of: keyof Usage): number =>
    spread(rounds.map((r) => r.get(name)?.[of] ?? Number.NaN)).median;
  const ratio = (name: string, of: keyof Usage): number =>
    spread(rounds.map((r) => (r.get(name)?.[of] ?? Number.NaN) / (r.get(base)?.[of] ?? Number.NaN))).median;
  console.log(`${mib} MiB, median of ${ROUNDS} rounds; ${machine()}`);
  console.log(`others took at most about ${Math.max(0, 100 * others).toFixed(0)} % of the cores\n`);
  console.log("| | wall s | × openssl | processor s | × openssl | resident MiB |\n|---|---|---|---|---|---|");
  for (const name of names) {
    const cells = [
      median(name, "wallS").toFixed(2),
      ratio(name, "wallS").toFixed(2),
      median(name, "cpuS").toFixed(2),
      ratio(name, "cpuS").toFixed(2),
      Math.max(...rounds.map((r) => r.get(name)?.residentMiB ?? 0)).toFixed(0),
    ];
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}

await main(process.argv.slice(2));
