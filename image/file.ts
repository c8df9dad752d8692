/**
 * Opens an enclave image file: a regular file, opened once, read whole.
 *
 * A link, a pipe, a folder or a device is refused, and nothing waits: a pipe is opened without blocking.
 *
 * @module
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Eif } from "../shared/eif/layout.ts";
import { type EifMeasurements, measureEif } from "../shared/eif/measure.ts";
import { EIF_FILE_MAX, readOpenFile } from "../shared/eif/open-file.ts";
import { readEif } from "../shared/eif/read.ts";
import { EifError } from "../shared/errors/eif.ts";

export interface EifFileOptions {
  /** Largest file that is read, in bytes. Default 1 GiB, all of it in memory. */
  readonly maxBytes?: number;
}

/**
 * @throws {EifError} `ERR_EIF_FILE`, or what `readEif` refuses
 */
export async function readEifFile(path: string, { maxBytes = EIF_FILE_MAX }: EifFileOptions = {}): Promise<Eif> {
  return readEif(await readFileOnce(path, maxBytes));
}

/**
 * The PCRs of an image file.
 *
 * @throws {EifError} `ERR_EIF_FILE`, or what `readEif` refuses
 */
export async function measureEifFile(path: string, options: EifFileOptions = {}): Promise<EifMeasurements> {
  return measureEif(await readEifFile(path, options));
}

async function readFileOnce(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    return await readOpenFile(file, path, maxBytes);
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    const reason = (cause as NodeJS.ErrnoException).code ?? "unreadable";
    throw new EifError("ERR_EIF_FILE", { path, reason }, { cause });
  }
}
