/**
 * A console that is a file which another process appends to, kept from filling the disk.
 *
 * When it is larger than it may be it is emptied, and a reader goes on with what is written after.
 *
 * @module
 */
import { open, stat, truncate } from "node:fs/promises";

/** In bytes. */
export const CONSOLE_FILE_MAX: number = 16 * 1024 * 1024;
const PART_BYTES = 64 * 1024;

/** Empties the file if it is larger than it may be. */
export async function trimConsole(path: string, maxBytes: number = CONSOLE_FILE_MAX): Promise<void> {
  if ((await sizeOf(path)) > maxBytes) await truncate(path, 0);
}

/** At most 64 KiB from `offset`; from the start where the file was emptied meanwhile. */
export async function readConsolePart(
  path: string,
  offset: number,
): Promise<{ readonly bytes: Uint8Array; readonly next: number }> {
  const size = await sizeOf(path);
  const start = offset > size ? 0 : offset;
  if (start === size) return { bytes: new Uint8Array(0), next: start };
  await using file = await open(path, "r");
  const buffer = new Uint8Array(Math.min(size - start, PART_BYTES));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return { bytes: buffer.subarray(0, bytesRead), next: start + bytesRead };
}

/** Looks for texts in what a console says, each byte once: how much it says does not matter. */
export class ConsoleSearch {
  readonly #path: string;
  readonly #text: string;
  readonly #overlap: number;
  #offset = 0;
  #tail: Buffer = Buffer.alloc(0);

  constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
    this.#overlap = Buffer.byteLength(text) - 1;
  }

  /** Whether the text is in what was written since; reads no more than a file may hold. */
  async next(): Promise<boolean> {
    for (let size = 0; size <= CONSOLE_FILE_MAX; ) {
      const { bytes, next } = await readConsolePart(this.#path, this.#offset);
      if (bytes.length === 0) return false;
      const seen = Buffer.concat([this.#tail, bytes]);
      if (seen.includes(this.#text)) return true;
      this.#tail = Buffer.from(seen.subarray(Math.max(0, seen.length - this.#overlap)));
      this.#offset = next;
      size += bytes.length;
    }
    return false;
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
