/**
 * Remembers which enclave is the supervisor's own, so that the parent's next process finds it again.
 *
 * An enclave is known by its id, never by what it measures alone: two of one image on one host are two services. The
 * file `<name>.enclave` says nothing secret, and whoever can change it can run enclaves anyway.
 *
 * @module
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface EnclaveRecord {
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
export function createEnclaveRecord({
  folder,
  name,
}: {
  readonly folder: string;
  readonly name: string;
}): EnclaveRecord {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw new TypeError("a name has 1 to 64 letters, digits, - and _");
  const path = join(folder, `${name}.enclave`);
  return {
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
