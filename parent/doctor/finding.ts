/**
 * What a check of the host comes to, and where it looks.
 *
 * @module
 */
import { constants } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Platform } from "../../shared/launcher.ts";

export type Verdict = "ok" | "warn" | "fail";

export interface Finding {
  /** A stable name, such as `kernel`. */
  readonly check: string;
  readonly verdict: Verdict;
  /** What was found: versions, numbers, paths. */
  readonly found: string;
  /** What to do about it; with `warn` and `fail` there is always something. */
  readonly todo?: string;
}

/** The host as the checks see it. */
export interface Host {
  readonly platform: Platform;
  /** A file's text; `undefined` where there is none, or it can not be read. At most 1 MiB. */
  text(path: string): Promise<string | undefined>;
  /** The names in a folder; none where there is no folder. */
  names(path: string): Promise<readonly string[]>;
  kind(path: string): Promise<"file" | "folder" | "device" | "other" | "absent">;
  /** Whether this process may read and write it. */
  isWritable(path: string): Promise<boolean>;
  isExecutable(path: string): Promise<boolean>;
  /** Where programs are looked up: folders with `:` between them, as the launcher is given them. */
  readonly searchPath: string;
  readonly nodeVersion: string;
  /** Whether this package's native binding loads: why not, or `undefined`. */
  readonly nativeFault: () => string | undefined;
  /** What the configuration asks for, where there is one. */
  readonly wanted?: Wanted;
}

export type Wanted = WantedRun | WantedAttach;

/** An enclave that this host is to run. */
export interface WantedRun {
  readonly kind: "run";
  readonly cpus: number;
  /** What it is to have; `undefined`: what the image needs. */
  readonly memoryMiB: number | undefined;
  readonly image: ImageNeed;
  /** All limits of connections together. */
  readonly connections: number;
}

/** The least memory that the image runs with, or the code of why nobody could tell. */
export type ImageNeed =
  | { readonly kind: "known"; readonly minimumMiB: number }
  | { readonly kind: "unknown"; readonly code: string };

/** One that something else runs. */
export interface WantedAttach {
  readonly kind: "attach";
  readonly connections: number;
}

const BYTES_MAX = 1_048_576;

export interface HostFiles {
  /** Default `/`. Another one is a tree of files that stands for a host. */
  readonly root?: string;
  readonly access: (path: string, mode: number) => Promise<boolean>;
}

/** The part of a host that is files. */
export function hostFiles({
  root = "/",
  access,
}: HostFiles): Pick<Host, "text" | "names" | "kind" | "isWritable" | "isExecutable"> {
  const at = (path: string): string => join(root, path);
  return {
    async text(path) {
      try {
        return (await readFile(at(path))).subarray(0, BYTES_MAX).toString("utf8");
      } catch {
        return undefined; // every check says what it makes of a file that is not there
      }
    },
    names: (path) => readdir(at(path)).catch((): string[] => []),
    async kind(path) {
      const found = await stat(at(path)).catch(() => undefined);
      if (!found) return "absent";
      if (found.isCharacterDevice() || found.isBlockDevice()) return "device";
      if (found.isFile()) return "file";
      return found.isDirectory() ? "folder" : "other";
    },
    isWritable: (path) => access(at(path), constants.R_OK | constants.W_OK),
    isExecutable: (path) => access(at(path), constants.X_OK),
  };
}
