/**
 * The folder in which a launcher keeps its sockets: this user's alone, and one launcher's at a time.
 *
 * Every contender for the lock makes a file whose name says which process it is, then looks at the others: who sees
 * another living one steps back and tries again. A name is never used twice, so what a dead process left is removed
 * without a race. Two who look at the same moment both step back; none ever goes on beside another.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import { identify, isRunning } from "./process-identity.ts";

/** A guest's socket adds `/e/<16 hex>/<cid>.vsock_<port>`, 46 bytes, to at most 107 that a socket's path may have. */
const PATH_BYTES_MAX = 60;
const LOCK_NAME = /^lock\.([0-9]+)\.([0-9]+)\.[0-9a-f]{16}$/;
/** Longer than its holder may take to wait for one keeper and to start the next. */
export const LOCK_TIMEOUT_MS = 60_000;
const RETRY_MS = 20;

/**
 * Makes the folder, or checks the one that is there.
 *
 * @throws {LauncherError} `ERR_LAUNCHER_STATE_FOLDER` a link, no folder, another owner, open to others, or too long
 */
export async function openStateFolder(path: string): Promise<void> {
  const refused = (rule: string): LauncherError => new LauncherError("ERR_LAUNCHER_STATE_FOLDER", { path, rule });
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw refused(`its path has at most ${PATH_BYTES_MAX} bytes`);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const rule = (cause as NodeJS.ErrnoException).code ?? "not usable";
    throw new LauncherError("ERR_LAUNCHER_STATE_FOLDER", { path, rule }, { cause });
  }
  const stat = await lstat(path);
  if (!stat.isDirectory()) throw refused("it is a folder, not a link");
  if (stat.uid !== process.getuid?.()) throw refused("its owner is this user");
  if ((stat.mode & 0o077) !== 0) throw refused("its mode is 0700");
}

export async function stateFolderExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/**
 * Runs `work` while no other launcher holds the folder.
 *
 * @throws {LauncherError} `ERR_LAUNCHER_LOCKED` others held it all the time
 */
export async function withLock<Result>(
  folder: string,
  work: () => Promise<Result>,
  timeoutMs: number = LOCK_TIMEOUT_MS,
): Promise<Result> {
  const { pid, ticks } = await identify(process.pid);
  const own = `lock.${pid}.${ticks ?? 0}.${randomBytes(8).toString("hex")}`;
  const deadline = performance.now() + timeoutMs;
  try {
    for (;;) {
      await writeFile(join(folder, own), "", { flag: "w", mode: 0o600 });
      if (!(await isContended(folder, own))) return await work();
      await rm(join(folder, own), { force: true });
      if (performance.now() > deadline) throw new LauncherError("ERR_LAUNCHER_LOCKED", { path: folder, timeoutMs });
      // Not the same time for each, or two would step back together for ever.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (1 + 2 * Math.random())));
    }
  } finally {
    await rm(join(folder, own), { force: true });
  }
}

async function isContended(folder: string, own: string): Promise<boolean> {
  for (const name of await readdir(folder)) {
    const [, pid, ticks] = LOCK_NAME.exec(name) ?? [];
    if (name === own || pid === undefined) continue;
    if (await isRunning({ pid: Number(pid), ticks: Number(ticks) || null })) return true;
    await rm(join(folder, name), { force: true });
  }
  return false;
}
