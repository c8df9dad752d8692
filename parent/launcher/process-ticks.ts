/**
 * Tells when the kernel started a process: with its number, what makes it this process and no later one.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { startTicks } from "../../shared/launcher.ts";

/** Clock ticks since boot; `undefined` where there is no such process, or the system does not tell. */
export async function ticksOf(pid: number): Promise<number | undefined> {
  try {
    return startTicks(await readFile(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    // Another user's process may be hidden, and one that has just ended is gone.
    if ((error as NodeJS.ErrnoException).syscall !== undefined) return undefined;
    throw error;
  }
}
