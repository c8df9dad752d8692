/**
 * Finds the process of an enclave among this process's children, by the folder it works in.
 *
 * @module
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

/** The child whose working directory has a link `self` to `target`; none where the system has no /proc. */
export async function childWorkingAt(target: string): Promise<number | undefined> {
  for (const name of await readdir("/proc").catch(() => [])) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      if (parent === process.pid && (await readlink(join(`/proc/${pid}/cwd`, "self"))) === target) return pid;
    } catch (error) {
      // Other users' processes are hidden, and some end while they are looked at.
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    }
  }
  return undefined;
}
