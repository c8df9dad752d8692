/**
 * A journal in a directory: one file, sealed, owned by one process, that loses nothing it has acknowledged.
 *
 *   journal       header, then a frame for each batch; only ever appended to, each time followed by fdatasync
 *   journal.new   the next one while it is written; takes the first one's name when it is whole
 *   owner.*       the socket of the process that owns the directory
 *
 * Everything is read once, when it is opened; a last frame that a crash cut off is removed then. Taking an older copy of
 * the whole file for the present one is beyond what a file can notice, and out of scope.
 *
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { StateError } from "../../../shared/errors/state.ts";
import type { StateSecret } from "./data-key.ts";
import { type OwnedDirectory, ownDirectory } from "./directory.ts";
import type { FrameChain } from "./frames.ts";
import { createHeader, createStateKey, openHeader, type StateKey } from "./header.ts";
import type { Journal } from "./journal.ts";

export interface SealedJournalOptions {
  /** Made if it is not there, with mode 0700. */
  readonly directory: string;
  /** What opens the state; for a new one, what will. */
  readonly secret: StateSecret;
  /**
   * A journal that is longer than this, and more than three times as long as when it was begun, asks to be replaced. In
   * bytes; 16 MiB if absent: some 10 000 changes of a key, read again in about a tenth of a second.
   */
  readonly overgrownBytes?: number;
}

const OVERGROWN_BYTES = 16 * 2 ** 20;
const GROWTH = 3;
const MODE = 0o600;
const READ_WRITE = constants.O_RDWR | constants.O_NOFOLLOW;

/**
 * Opens the state of a directory, or makes a new one there.
 *
 * @throws {StateError} `ERR_STATE_DIRECTORY`, `ERR_STATE_LOCKED`, `ERR_STATE_SECRET`, `ERR_STATE_MALFORMED`,
 *   `ERR_STATE_FAILED`
 * @throws {ConfigError} a short passphrase
 */
export async function openSealedJournal(options: SealedJournalOptions): Promise<Journal> {
  const { secret, overgrownBytes = OVERGROWN_BYTES } = options;
  const directory = await ownDirectory(options.directory);
  try {
    await rm(join(directory.path, "journal.new"), { force: true });
    const file = await openFile(directory.path);
    const opened = file ? await read(file, { secret, path: directory.path }) : await create(directory, secret);
    return new SealedJournal(directory, opened, overgrownBytes);
  } catch (error) {
    await directory.release();
    // What the system says of a file: a full disk, an input/output error.
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new StateError(
      "ERR_STATE_FAILED",
      { reason: String((error as NodeJS.ErrnoException).code) },
      { cause: error },
    );
  }
}

/** An open journal's file, and where in it the next frame goes. */
interface JournalFile {
  readonly file: FileHandle;
  readonly key: StateKey;
  readonly chain: FrameChain;
  readonly batches: readonly Uint8Array[];
  readonly end: number;
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  const refused = (rule: string): StateError => new StateError("ERR_STATE_DIRECTORY", { path, rule });
  let file: FileHandle;
  try {
    file = await open(join(path, "journal"), READ_WRITE);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") throw refused("its journal is a file, not a link");
    throw error;
  }
  const stat = await file.stat();
  const isPrivate = stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0;
  if (stat.isFile() && isPrivate) return file;
  await file.close();
  throw refused("its journal is a file of this user, with mode 0600");
}

async function read(
  file: FileHandle,
  where: { readonly secret: StateSecret; readonly path: string },
): Promise<JournalFile> {
  try {
    const bytes = await file.readFile();
    const { key, header } = await openHeader(bytes, where);
    const { chain } = header;
    const batches: Uint8Array[] = [];
    let end = header.bytes.length;
    while (end < bytes.length) {
      const frame = chain.open(bytes, end);
      if (frame === "torn") break;
      batches.push(frame.batch);
      end = frame.end;
    }
    if (end < bytes.length) {
      await file.truncate(end);
      await file.sync();
    }
    return { file, key, chain, batches, end };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function create({ path }: OwnedDirectory, secret: StateSecret): Promise<JournalFile> {
  return begin(path, await createStateKey(secret), []);
}

/** Writes a journal beside the one that counts; from the moment of the new name this one counts. */
async function begin(path: string, key: StateKey, batches: Iterable<Uint8Array>): Promise<JournalFile> {
  const unfinished = join(path, "journal.new");
  await rm(unfinished, { force: true });
  const file = await open(unfinished, READ_WRITE | constants.O_CREAT | constants.O_EXCL, MODE);
  try {
    const { bytes, chain } = createHeader(key);
    let end = await writeAt(file, bytes, 0);
    for (const batch of batches) end = await writeAt(file, chain.seal(batch), end);
    await file.sync();
    await rename(unfinished, join(path, "journal"));
    await syncDirectory(path);
    return { file, key, chain, batches: [], end };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The offset after what was written. */
async function writeAt(file: FileHandle, bytes: Uint8Array, start: number): Promise<number> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, start + done);
    done += bytesWritten;
  }
  return start + bytes.length;
}

/** A new name is durable when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

class SealedJournal implements Journal {
  readonly #directory: OwnedDirectory;
  readonly #overgrownBytes: number;
  readonly #key: StateKey;
  #file: FileHandle;
  #chain: FrameChain;
  #batches: readonly Uint8Array[];
  #end: number;
  /** How long it was when it was begun; of one that was opened nobody knows. */
  #begun = 0;

  constructor(directory: OwnedDirectory, opened: JournalFile, overgrownBytes: number) {
    this.#directory = directory;
    this.#overgrownBytes = overgrownBytes;
    this.#key = opened.key;
    this.#file = opened.file;
    this.#chain = opened.chain;
    this.#batches = opened.batches;
    this.#end = opened.end;
  }

  get isOvergrown(): boolean {
    return this.#end > this.#overgrownBytes && this.#end > GROWTH * this.#begun;
  }

  take(): readonly Uint8Array[] {
    const batches = this.#batches;
    this.#batches = [];
    return batches;
  }

  async append(batch: Uint8Array): Promise<void> {
    this.#end = await writeAt(this.#file, this.#chain.seal(batch), this.#end);
    await this.#file.datasync();
  }

  async replace(batches: Iterable<Uint8Array>): Promise<void> {
    const { file, chain, end } = await begin(this.#directory.path, this.#key, batches);
    const old = this.#file;
    this.#file = file;
    this.#chain = chain;
    this.#end = end;
    this.#begun = end;
    await old.close();
  }

  async close(): Promise<void> {
    try {
      await this.#file.close();
    } finally {
      await this.#directory.release();
    }
  }
}
