/**
 * A file that is appended to and gives way to a new one before it grows beyond its size.
 *
 * Names move by `rename`, oldest first, so a crash in between loses no file but the oldest. An append is all or
 * nothing: after a fault the file is cut back to where it was.
 *
 * @module
 */
import { closeSync, constants, fchmodSync, fstatSync, ftruncate, openSync, write } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { promisify } from "node:util";

/** Writes bytes at the end of a file; gives how many it wrote. */
export type WriteBytes = (descriptor: number, bytes: Uint8Array) => Promise<number>;

export interface RotationOptions {
  readonly maxBytes: number;
  /** How many older files stay. */
  readonly keep: number;
  readonly writeBytes?: WriteBytes;
}

interface OpenFile {
  readonly descriptor: number;
  size: number;
}

// Neither a link nor a pipe without a reader is waited for or followed.
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const truncate = promisify(ftruncate);

async function writeToFile(descriptor: number, bytes: Uint8Array): Promise<number> {
  return (await promisify(write)(descriptor, bytes)).bytesWritten;
}

export class RotatingFile {
  readonly #path: string;
  readonly #options: RotationOptions;
  readonly #write: WriteBytes;
  #file: OpenFile | undefined;

  /** Opens the file, or makes it. @throws what the system says, or `ENOTSUP` when it is no plain file */
  constructor(path: string, options: RotationOptions) {
    this.#path = path;
    this.#options = options;
    this.#write = options.writeBytes ?? writeToFile;
    this.#file = openPlainFile(path);
  }

  /** Appends all of it, or nothing and throws. One append at a time. */
  async append(bytes: Uint8Array): Promise<void> {
    this.#file ??= openPlainFile(this.#path);
    let file = this.#file;
    if (file.size > 0 && file.size + bytes.length > this.#options.maxBytes) file = await this.#rotate();
    try {
      for (let done = 0; done < bytes.length; ) done += await this.#write(file.descriptor, bytes.subarray(done));
      file.size += bytes.length;
    } catch (error) {
      await truncate(file.descriptor, file.size);
      throw error;
    }
  }

  close(): void {
    if (this.#file) closeSync(this.#file.descriptor);
    this.#file = undefined;
  }

  async #rotate(): Promise<OpenFile> {
    this.close();
    const { keep } = this.#options;
    for (let index = keep - 1; index >= 1; index--) await move(`${this.#path}.${index}`, `${this.#path}.${index + 1}`);
    if (keep > 0) await move(this.#path, `${this.#path}.1`);
    else await rm(this.#path, { force: true });
    this.#file = openPlainFile(this.#path);
    return this.#file;
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

function openPlainFile(path: string): OpenFile {
  const descriptor = openSync(path, FLAGS, 0o600);
  try {
    const { size, mode } = fstatSync(descriptor);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) {
      throw Object.assign(new Error("not a plain file"), { code: "ENOTSUP" });
    }
    fchmodSync(descriptor, 0o600);
    return { descriptor, size };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}
