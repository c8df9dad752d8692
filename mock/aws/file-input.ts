/**
 * Reads a file that somebody names: so many bytes and no more, and where it must be, a regular file only, since a device
 * has no end and a pipe may have no beginning.
 *
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ConfigError } from "../../shared/errors/index.ts";

export interface FileRules {
  readonly maxBytes: number;
  /** A pipe is taken as well. */
  readonly mayBePipe?: boolean;
  /** Nobody but its owner may write to it. */
  readonly isOwners?: boolean;
}

/** @throws {ConfigError} `ERR_CONFIG_FILE` */
export async function readFileInput(path: string, rules: FileRules): Promise<Buffer> {
  try {
    // A pipe that nobody writes to would be waited for, before it is known that it is one.
    const flags = rules.mayBePipe ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK;
    await using file = await open(path, flags);
    return await readOpen(file, path, rules);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw unusable(path, (cause as NodeJS.ErrnoException).code ?? "unreadable", { cause });
  }
}

async function readOpen(file: FileHandle, path: string, { maxBytes, mayBePipe, isOwners }: FileRules): Promise<Buffer> {
  const stat = await file.stat();
  if (!stat.isFile() && !(mayBePipe && stat.isFIFO())) throw unusable(path, "not a regular file");
  if (isOwners && (stat.mode & 0o022) !== 0) throw unusable(path, "others may write to it");
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(65_536), 0, 65_536, null);
    if (bytesRead === 0) return Buffer.concat(chunks);
    size += bytesRead;
    if (size > maxBytes) throw unusable(path, `more than ${maxBytes} bytes`);
    chunks.push(buffer.subarray(0, bytesRead));
  }
}

function unusable(path: string, reason: string, options?: ErrorOptions): ConfigError {
  return new ConfigError("ERR_CONFIG_FILE", { path, reason }, options);
}
