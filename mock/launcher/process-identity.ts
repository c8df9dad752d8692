/**
 * Says which process a number meant, so that no other one is ever signalled.
 *
 * A process is its number and when the kernel started it; numbers come again, that pair does not. Where the system does
 * not tell (no /proc), a process is known by its number only and is never signalled by what a file says.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { startTicks } from "../../shared/launcher.ts";

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot; `null` where the system does not tell. */
  readonly ticks: number | null;
}

const KILL_POLL_MS = 20;

export async function identify(pid: number): Promise<ProcessIdentity> {
  return { pid, ticks: (await ticksOf(pid)) ?? null };
}

/** Whether the process runs still: that one, not a later one with its number. */
export async function isRunning({ pid, ticks }: ProcessIdentity): Promise<boolean> {
  if (ticks !== null) return (await ticksOf(pid)) === ticks;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Kills the process, and its group if it leads one; waits until it is gone, at most `timeoutMs`. */
export async function killRecorded(identity: ProcessIdentity, timeoutMs: number): Promise<void> {
  if (identity.ticks === null || !(await isRunning(identity))) return;
  for (const target of [-identity.pid, identity.pid]) {
    try {
      process.kill(target, "SIGKILL");
    } catch (error) {
      // It leads no group, or has just ended.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
  const deadline = performance.now() + timeoutMs;
  while ((await isRunning(identity)) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, KILL_POLL_MS));
  }
}

async function ticksOf(pid: number): Promise<number | undefined> {
  try {
    return startTicks(await readFile(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== undefined) return undefined;
    throw error;
  }
}
