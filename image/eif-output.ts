/**
 * Writes new files: nothing that exists is overwritten, and what was not finished does not stay.
 *
 * @module
 */
import { type FileHandle, open, unlink } from "node:fs/promises";
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
}

/**
 * Creates a file, lets `write` fill it, and removes it if that fails.
 *
 * @throws {EifError} `ERR_EIF_OUTPUT` it exists, or can not be written
 */
export async function createFile<Result>(path: string, write: (file: NewFile) => Promise<Result>): Promise<Result> {
  const refuse = (cause: unknown): never => {
    throw outputError(path, cause);
  };
  const handle = await open(path, "wx", 0o644).catch(refuse);
  let end = 0;
  try {
    const result = await write({
      append: async (bytes) => {
        await writeAll(handle, bytes, end).catch(refuse);
        end += bytes.length;
      },
      patch: (offset, bytes) => writeAll(handle, bytes, offset).catch(refuse),
    });
    await handle.close().catch(refuse);
    return result;
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlink(path).catch(() => undefined);
    throw error;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
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
