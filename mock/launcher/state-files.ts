/**
 * Where things are in a state folder, and how they go.
 *
 * All of it belongs to the keeper, and goes when the keeper ends or is found dead, with one exception: `v/3` is where a
 * parent listens, a folder or a link to one, which outlives the enclaves that it serves. It stays unless it is empty.
 *
 * @module
 */
import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PARENT_CID } from "../emulator/ports.ts";

export const STATE_FILES = {
  socket: "control.sock",
  processes: "processes.json",
  log: "keeper.log",
  vsock: "v",
  enclaves: "e",
  temporary: "t",
} as const;

/** The record last: as long as it names a process that runs, nobody takes the folder for abandoned. */
export function removeStateFiles(folder: string): void {
  const { processes, vsock, ...files } = STATE_FILES;
  for (const name of Object.values(files)) rmSync(join(folder, name), { recursive: true, force: true });
  for (const cid of entriesOf(join(folder, vsock))) {
    if (cid !== String(PARENT_CID)) rmSync(join(folder, vsock, cid), { recursive: true, force: true });
  }
  for (const path of [join(folder, vsock, String(PARENT_CID)), join(folder, vsock)]) removeIfEmpty(path);
  rmSync(join(folder, processes), { force: true });
}

function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Not there, not empty, or a link. */
const STAYS: ReadonlySet<string> = new Set(["ENOENT", "ENOTEMPTY", "EEXIST", "ENOTDIR"]);

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!STAYS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
