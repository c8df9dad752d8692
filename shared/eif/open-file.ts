/**
 * Reads a whole file that somebody opened, once, and refuses what is not a plain file of bounded size.
 *
 * Opening is the caller's; measuring and running must both use the bytes that come back, never the path again.
 *
 * @module
 */
import { EifError } from "../errors/eif.ts";

/** What is needed of an open file; Node's `FileHandle` fits. */
export interface OpenFile {
  stat(): Promise<{ isFile(): boolean; readonly size: number }>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** Largest image that is read into memory, in bytes: 1 GiB. */
export const EIF_FILE_MAX: number = 1024 * 1024 * 1024;

/**
 * @param path only named in the error
 * @throws {EifError} `ERR_EIF_FILE` not a regular file, too large, or its size changed meanwhile
 */
export async function readOpenFile(file: OpenFile, path: string, maxBytes: number = EIF_FILE_MAX): Promise<Uint8Array> {
  const stat = await file.stat();
  const { size } = stat;
  if (!stat.isFile()) throw refused(path, "not a regular file");
  if (size > maxBytes) throw refused(path, `${size} bytes, at most ${maxBytes} are read`);
  // One byte more than announced: a file that grew is seen.
  const bytes = new Uint8Array(size + 1);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  if (filled !== size) throw refused(path, "its size changed while it was read");
  return bytes.subarray(0, size);
}

function refused(path: string, reason: string): EifError {
  return new EifError("ERR_EIF_FILE", { path, reason });
}
