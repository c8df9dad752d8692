/**
 * Where a measurement was taken: without it a figure says nothing.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

export function machine(): string {
  const [{ model } = { model: "unknown" }] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, commit ${commit()}, node ${process.version}, ${cpus().length} × ${model}`;
}

/**
 * Starts to watch other processes; gives the share of all cores that they took since, 0 where the system does not say.
 * `children`: process ids that belong to the measurement.
 */
export function watchOthers(children: readonly number[] = []): () => number {
  const ownTicks = (): number => {
    const { user, system } = process.cpuUsage();
    // A tick is 10 ms.
    return (user + system) / 10_000 + children.reduce((sum, pid) => sum + ticksOf(pid), 0);
  };
  const before = coreTicks();
  const own = ownTicks();
  return () => {
    const after = coreTicks();
    if (!before || !after || after.all === before.all) return 0;
    const others = after.busy - before.busy - (ownTicks() - own);
    return Math.max(0, others / (after.all - before.all));
  };
}

/** Of a process, in user and system mode: fields 14 and 15 of `/proc/PID/stat`. */
function ticksOf(pid: number): number {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return 0;
  const fields = readFileSync(path, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** The first line of Linux's `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. */
function coreTicks(): { readonly busy: number; readonly all: number } | undefined {
  if (!existsSync("/proc/stat")) return undefined;
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0] ?? "";
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, each) => sum + each, 0);
  return { all, busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0) };
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8", stdio: "pipe" }).trim();
  try {
    return (
      git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "shared", "bench") ? " with changes" : "")
    );
  } catch {
    return "unknown";
  }
}
