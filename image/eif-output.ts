/**
 * Writes new files: nothing that exists is overwritten, and a name is given only to what is finished.
 *
 * Until then it has a hidden, random name beside: whatever ends the process, nobody takes half a result for a whole one.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, link, lstat, mkdir, open, rename, rm, rmdir, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { EifSource } from "../shared/eif/source.ts";
import { EifError } from "../shared/errors/eif.ts";

const PIECE_BYTES = 2 * 1024 * 1024;

/** @throws {EifError} `ERR_EIF_OUTPUT` */
export function outputError(path: string, cause: unknown): EifError {
  return new EifError(
    "ERR_EIF_OUTPUT",
    { path, reason: (cause as NodeJS.ErrnoException).code ?? "unwritable" },
    { cause },
  );
}

/** A file that is being made. */
export interface NewFile {
  append(bytes: Uint8Array): Promise<void>;
  /** Overwrites bytes that were appended. */
  patch(offset: number, bytes: Uint8Array): Promise<void>;
  /** What was written so far. */
  written(): EifSource;
}

/**
 * Creates a file, lets `write` fill it, and gives it its name if that succeeds.
 *
 * @throws {EifError} `ERR_EIF_OUTPUT` it exists, or can not be written
 */
export async function createFile<Result>(path: string, write: (file: NewFile) => Promise<Result>): Promise<Result> {
  const refuse = refusal(path);
  await refuseExisting(path);
  const unfinished = besides(path);
  const handle = await open(unfinished, "wx+", 0o644).catch(refuse);
  try {
    const result = await write(newFile(handle, refuse));
    await handle.close().catch(refuse);
    // Unlike a rename, a link never takes the place of something.
    await link(unfinished, path).catch(refuse);
    return result;
  } finally {
    await handle.close().catch(() => undefined);
    await unlink(unfinished).catch(() => undefined);
  }
}

/**
 * Creates a folder, lets `write` fill it, and gives it its name if that succeeds.
 *
 * @throws {EifError} `ERR_EIF_OUTPUT` it exists, or can not be written
 */
export async function createFolder<Result>(
  path: string,
  write: (unfinished: string) => Promise<Result>,
): Promise<Result> {
  const refuse = refusal(path);
  await refuseExisting(path);
  const unfinished = besides(path);
  await mkdir(unfinished, { mode: 0o755 }).catch(refuse);
  try {
    const result = await write(unfinished);
    // A rename takes the place of an empty folder, so that must be ours.
    await mkdir(path).catch(refuse);
    await rename(unfinished, path).catch(async (cause: unknown) => {
      await rmdir(path).catch(() => undefined);
      refuse(cause);
    });
    return result;
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

function refusal(path: string): (cause: unknown) => never {
  return (cause) => {
    throw outputError(path, cause);
  };
}

/** Said before the work, and once more by the system after it. */
async function refuseExisting(path: string): Promise<void> {
  const isThere = await lstat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw outputError(path, { code: "EEXIST" });
}

function besides(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(8).toString("hex")}.unfinished`);
}

function newFile(handle: FileHandle, refuse: (cause: unknown) => never): NewFile {
  let end = 0;
  return {
    append: async (bytes) => {
      await writeAll(handle, bytes, end).catch(refuse);
      end += bytes.length;
    },
    patch: (offset, bytes) => writeAll(handle, bytes, offset).catch(refuse),
    written: () => ({ size: end, read: (offset, into) => readAll(handle, into, offset).catch(refuse) }),
  };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}

async function readAll(handle: FileHandle, into: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
    if (bytesRead === 0) throw new RangeError("nothing was written there");
    done += bytesRead;
  }
}

/** Appends a range of a source, piece by piece, and shows each piece to `see`. */
export async function appendRange(
  file: NewFile,
  source: EifSource,
  { from, to, see }: { readonly from: number; readonly to: number; readonly see?: (bytes: Uint8Array) => void },
): Promise<void> {
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, to - from));
  for (let offset = from; offset < to; offset += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, to - offset));
    await source.read(offset, piece);
    see?.(piece);
    await file.append(piece);
  }
}
