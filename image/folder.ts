/**
 * Reads files and folders for an image, so that what was read does not depend on who reads it or where.
 *
 * A mode is 0755 where the owner may execute and 0644 where not, whatever the umask was; the owner is root; times are
 * left out. Links are kept as they are and never followed. Every file is opened once, as a regular file, and read whole.
 *
 * @module
 */
import { constants } from "node:fs";
import { open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { printable } from "../shared/eif/cpio-format.ts";
import type { ArchiveEntry } from "../shared/eif/cpio-write.ts";
import { readOpenFile } from "../shared/eif/open-file.ts";
import { EifError } from "../shared/errors/eif.ts";
import type { Tree } from "./build.ts";

const ENTRIES_MAX = 65_000;
const FOLDER_BYTES_MAX = 2 ** 31;

/** What an input file may be: a kernel, a library, an image archive. */
export const INPUT_FILE_MAX: number = 2 ** 30;

/**
 * A regular file, opened once. A link to one is followed only where the caller says so: a library often is one.
 *
 * @throws {EifError} `ERR_EIF_FILE`
 */
export async function readInputFile(
  path: string,
  { links = "refused" }: { readonly links?: "refused" | "followed" } = {},
): Promise<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (links === "refused" ? constants.O_NOFOLLOW : 0);
  try {
    await using file = await open(path, flags);
    return await readOpenFile(file, path, INPUT_FILE_MAX);
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    throw unreadable(path, cause);
  }
}

/**
 * A folder as a tree.
 *
 * @throws {EifError} `ERR_EIF_SOURCE` what is no file, folder or link, or too much; `ERR_EIF_FILE` not readable
 */
export async function readFolder(folder: string, { links }: { readonly links: "kept" | "refused" }): Promise<Tree> {
  const tree = new Map<string, ArchiveEntry>();
  let total = 0;
  const walk = async (below: string): Promise<void> => {
    for (const entry of await list(join(folder, below))) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      const source = join(folder, path);
      if (entry.isDirectory()) {
        tree.set(path, { kind: "directory", mode: 0o755 });
        await walk(path);
      } else if (entry.isSymbolicLink() && links === "kept") {
        tree.set(path, { kind: "link", target: await readTarget(source) });
      } else if (entry.isFile()) {
        const file = await readWithMode(source);
        total += file.data.length;
        tree.set(path, file);
      } else {
        throw new EifError("ERR_EIF_SOURCE", { entry: printable(path), rule: "is a file or a folder" });
      }
      if (tree.size > ENTRIES_MAX || total > FOLDER_BYTES_MAX) {
        throw new EifError("ERR_EIF_SOURCE", {
          entry: printable(path),
          rule: `at most ${ENTRIES_MAX} entries and 2 GiB`,
        });
      }
    }
  };
  await walk("");
  return tree;
}

async function list(path: string): ReturnType<typeof readFolderEntries> {
  try {
    return await readFolderEntries(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

// The names must be UTF-8: one that is not would come back changed and not be found.
const readFolderEntries = (path: string) => readdir(path, { withFileTypes: true });

async function readTarget(path: string): Promise<string> {
  try {
    return await readlink(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function readWithMode(path: string): Promise<{ kind: "file"; data: Uint8Array; mode: number }> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { mode } = await file.stat();
    return { kind: "file", data: await readOpenFile(file, path), mode: mode & 0o100 ? 0o755 : 0o644 };
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): EifError {
  const reason = (cause as NodeJS.ErrnoException).code ?? "unreadable";
  return new EifError("ERR_EIF_FILE", { path, reason }, { cause });
}
