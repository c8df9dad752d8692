/**
 * Remembers which enclave is the supervisor's own, so that the parent's next process finds it again.
 *
 * Whoever works by a record holds it, so that no other process does at the same time (`hold.ts`).
 *
 * An enclave is known by its id, never by what it measures alone: two of one image on one host are two services. The
 * file `<name>.enclave` says nothing secret, and whoever can change it can run enclaves anyway.
 *
 * @module
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hold, type LetGo, type RecordPlace } from "./hold.ts";

export interface EnclaveRecord {
  /**
   * Nobody else works by this record until it is let go, or this process is dead. Comes before all else.
   *
   * @throws {LauncherError} `ERR_LAUNCHER_KEPT` somebody does, `ERR_LAUNCHER_STATE_FOLDER` the folder takes no file
   */
  hold(): Promise<LetGo>;
  /** The enclave that was started last and not ended, as far as anyone knows. */
  read(): Promise<string | undefined>;
  /** `undefined`: there is none any more. */
  write(enclaveId: string | undefined): Promise<void>;
}

const ENCLAVE_ID = /^i-[0-9a-f]{1,32}-enc[0-9a-f]{1,32}$/;

/**
 * A record in a file of a folder, which is made with mode 0700 if it is not there.
 *
 * @param options.name of the service, 1 to 64 letters, digits, `-` and `_`
 */
export function createEnclaveRecord({ folder, name }: RecordPlace): EnclaveRecord {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw new TypeError("a name has 1 to 64 letters, digits, - and _");
  const path = join(folder, `${name}.enclave`);
  return {
    hold: () => hold({ folder, name }),
    async read() {
      try {
        const text = (await readFile(path, "utf8")).trim();
        // A broken file names no enclave, and nothing is ended by it.
        return ENCLAVE_ID.test(text) ? text : undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    async write(enclaveId) {
      if (enclaveId === undefined) return rm(path, { force: true });
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, `${enclaveId}\n`, { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}
