/**
 * Lets one supervisor at a time have a record: two would adopt, replace or end each other's enclave.
 *
 *   1. claim    a file whose name says which process it is: number, and when the kernel started it
 *   2. look     another living claim: step back, try again for a moment, then refuse and name the other
 *   3. hold     the file stays until it is let go, or its process is dead and the next one removes it
 *
 * A name is never used by two, so removing a dead one's claim can not hit a living one's. Two who look at the same
 * moment both step back. Where the system does not tell when a process started, its number alone must do; processes
 * that do not see each other, in two containers with one folder, are not kept apart.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import { ticksOf } from "./process-ticks.ts";

/** Where a record is: `<folder>/<name>.enclave`. */
export interface RecordPlace {
  readonly folder: string;
  readonly name: string;
}

/** Lets go what is held. */
export type LetGo = () => Promise<void>;

const ATTEMPTS = 5;
const RETRY_MS = 20;

/**
 * @throws {LauncherError} `ERR_LAUNCHER_KEPT` another supervisor has it; `ERR_LAUNCHER_STATE_FOLDER` the folder takes
 *   no file
 */
export async function hold(place: RecordPlace): Promise<LetGo> {
  const { folder, name } = place;
  const ticks = (await ticksOf(process.pid)) ?? 0;
  const own = `${name}.held.${process.pid}.${ticks}.${randomBytes(8).toString("hex")}`;
  const letGo = (): Promise<void> => rm(join(folder, own), { force: true });
  for (let attempt = 1; ; attempt++) {
    const other = await claim(place, own).catch(async (cause: NodeJS.ErrnoException) => {
      await letGo().catch(() => undefined); // why it could not be claimed says more
      const rule = cause.code ?? "not usable";
      throw new LauncherError("ERR_LAUNCHER_STATE_FOLDER", { path: folder, rule }, { cause });
    });
    if (other === undefined) return letGo;
    await letGo();
    if (attempt === ATTEMPTS) throw new LauncherError("ERR_LAUNCHER_KEPT", { name, pid: other });
    // Not the same time for each, or two would step back together for ever.
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (1 + 2 * Math.random())));
  }
}

/** Writes the claim; gives who else has a living one. */
async function claim({ folder, name }: RecordPlace, own: string): Promise<number | undefined> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, own), "", { mode: 0o600 });
  const form = new RegExp(`^${name}\\.held\\.([0-9]+)\\.([0-9]+)\\.[0-9a-f]{16}$`);
  for (const file of await readdir(folder)) {
    const [, pid, ticks] = form.exec(file) ?? [];
    if (file === own || pid === undefined) continue;
    if (await isRunning(Number(pid), Number(ticks))) return Number(pid);
    await rm(join(folder, file), { force: true });
  }
  return undefined;
}

async function isRunning(pid: number, ticks: number): Promise<boolean> {
  if (ticks !== 0) return (await ticksOf(pid)) === ticks;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
