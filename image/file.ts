/**
 * Opens an enclave image file: a regular file, opened once. All that is said of it is said of that one descriptor.
 *
 * A link, a pipe, a folder or a device is refused, and nothing waits: a pipe is opened without blocking. What is read by
 * pieces is refused if size or times of the file changed meanwhile. Memory that is shared with the file can change it
 * without either: who writes what was read hashes it again.
 *
 * @module
 */
import { constants, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type EifInspection, inspectEif } from "../shared/eif/inspect.ts";
import type { Eif } from "../shared/eif/layout.ts";
import type { EifMeasurements } from "../shared/eif/measure.ts";
import { EIF_FILE_MAX, readOpenFile } from "../shared/eif/open-file.ts";
import { readEif } from "../shared/eif/read.ts";
import type { EifSource } from "../shared/eif/source.ts";
import { EifError } from "../shared/errors/eif.ts";
import { openDigests } from "./eif-digests.ts";

export interface EifFileOptions {
  /** Largest file that is read, in bytes. Default 1 GiB, all of it in memory. */
  readonly maxBytes?: number;
}

export interface InspectFileOptions {
  /** Default false: the first error is thrown. True: errors are findings, measured as AWS's reader would. */
  readonly allowNonstandard?: boolean;
  /** Whether each section is hashed by itself too. Default false. */
  readonly eachSection?: boolean;
}

/**
 * Reads a whole image into memory.
 *
 * @throws {EifError} `ERR_EIF_FILE`, or what `readEif` refuses
 */
export async function readEifFile(path: string, { maxBytes = EIF_FILE_MAX }: EifFileOptions = {}): Promise<Eif> {
  return readEif(await withFile(path, (file) => readOpenFile(file, path, maxBytes)));
}

/**
 * Reads, measures and judges an image file of any size in a few megabytes of memory.
 *
 * @throws {EifError} `ERR_EIF_FILE`, or what the strict reader refuses
 * @example
 * const { measurements, findings } = await inspectEifFile("app.eif");
 */
export function inspectEifFile(path: string, options: InspectFileOptions = {}): Promise<EifInspection> {
  return withEifSource(path, (source) => inspectOpenEif(source, options));
}

/**
 * The PCRs of an image file, PCR8 among them where it is signed.
 *
 * @throws {EifError} `ERR_EIF_FILE`, or what the strict reader refuses
 */
export async function measureEifFile(path: string): Promise<EifMeasurements> {
  return (await inspectEifFile(path)).measurements;
}

export async function inspectOpenEif(source: EifSource, options: InspectFileOptions = {}): Promise<EifInspection> {
  await using digests = openDigests(source.size);
  return await inspectEif(source, { ...options, digests });
}

/** Runs a reader over an open file, and refuses its answer if the file changed meanwhile. */
export function withEifSource<Result>(path: string, run: (source: EifSource) => Promise<Result>): Promise<Result> {
  return withFile(path, async (file) => {
    const before = await stampOf(file, path);
    const result = await run({
      size: Number(before.size),
      read: (offset, into) => {
        for (let filled = 0; filled < into.length; ) {
          const count = readSync(file.fd, into, filled, into.length - filled, offset + filled);
          if (count === 0) throw refused(path, "it ended while it was read");
          filled += count;
        }
      },
    });
    const after = await stampOf(file, path);
    if (before.size !== after.size || before.mtimeNs !== after.mtimeNs || before.ctimeNs !== after.ctimeNs) {
      throw changedMeanwhile(path);
    }
    return result;
  });
}

async function stampOf(
  file: FileHandle,
  path: string,
): Promise<{ readonly size: bigint; readonly mtimeNs: bigint; readonly ctimeNs: bigint }> {
  const stat = await file.stat({ bigint: true });
  if (!stat.isFile()) throw refused(path, "not a regular file");
  return stat;
}

async function withFile<Result>(path: string, run: (file: FileHandle) => Promise<Result>): Promise<Result> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    return await run(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof Error && "syscall" in cause && code) throw refused(path, code, cause);
    throw cause;
  }
}

export function changedMeanwhile(path: string): EifError {
  return refused(path, "it changed while it was read");
}

function refused(path: string, reason: string, cause?: unknown): EifError {
  return new EifError("ERR_EIF_FILE", { path, reason }, { cause });
}
