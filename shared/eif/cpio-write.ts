/**
 * Writes the cpio archive ("newc") that a ramdisk is.
 *
 * Deterministic: paths sorted, every time zero, inodes counted from 1, directories before what is in them. It knows
 * files, directories and symbolic links, no devices and no hard links. Not compressed: the same bytes whatever the
 * version of a compressor.
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";
import {
  CPIO_ENTRIES_MAX,
  CPIO_MAGIC,
  CPIO_TRAILER,
  CPIO_TYPE,
  paddingAfter,
  parentOf,
  pathProblem,
} from "./cpio-format.ts";

const TARGET_MAX = 4095;
/** The format's fields have 32 bits. */
const SIZE_MAX = 0xffff_ffff;
const PART_BYTES = 65_536;

/** What the writer puts into an archive. Permission bits only; owner 0 unless given. */
export type ArchiveEntry = ArchiveOwner &
  (
    | { readonly kind: "file"; readonly data: Uint8Array; readonly mode: number }
    | { readonly kind: "directory"; readonly mode: number }
    /** Symbolic; the target is written as it is and never followed here. */
    | { readonly kind: "link"; readonly target: string }
  );

export interface ArchiveOwner {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Writes the entries, and the directories they need, as an archive. Bytes alone are a file of mode 0644.
 *
 * @throws {RangeError} a path that the reader would refuse, a path below something that is no directory, a mode, an
 * owner or a size that the format can not hold, more entries than the reader takes
 */
export function writeCpio(entries: ReadonlyMap<string, Uint8Array | ArchiveEntry>): Uint8Array {
  return concat(...cpioParts(entries));
}

/** The same in parts, to be written one after the other. Large files are not copied: their parts are the bytes given. */
export function cpioParts(entries: ReadonlyMap<string, Uint8Array | ArchiveEntry>): readonly Uint8Array[] {
  const all = withParents(entries);
  const paths = [...all.keys()].sort((a, b) => (a < b ? -1 : 1));
  const parts = new PartList();
  for (const [index, path] of paths.entries()) writeEntry(parts, path, index + 1, all.get(path) ?? PARENT);
  writeEntry(parts, CPIO_TRAILER, 0, undefined);
  return parts.end();
}

const PARENT: ArchiveEntry = { kind: "directory", mode: 0o755 };

function withParents(entries: ReadonlyMap<string, Uint8Array | ArchiveEntry>): ReadonlyMap<string, ArchiveEntry> {
  const all = new Map<string, ArchiveEntry>();
  for (const [path, given] of entries) {
    const entry: ArchiveEntry = given instanceof Uint8Array ? { kind: "file", data: given, mode: 0o644 } : given;
    const problem = pathProblem(path) ?? entryProblem(entry);
    if (problem) throw new RangeError(`can not archive ${JSON.stringify(path)}: ${problem}`);
    all.set(path, entry);
  }
  for (const path of entries.keys()) {
    // From below: what is above a directory that is there is another entry's matter, or was seen to before.
    for (let parent = parentOf(path); parent !== undefined; parent = parentOf(parent)) {
      const there = all.get(parent);
      if (there?.kind === "directory") break;
      if (there) throw new RangeError(`${JSON.stringify(parent)} is a ${there.kind} and a directory`);
      all.set(parent, PARENT);
    }
    if (all.size > CPIO_ENTRIES_MAX) throw new RangeError(`an archive has at most ${CPIO_ENTRIES_MAX} entries`);
  }
  return all;
}

function entryProblem(entry: ArchiveEntry): string | undefined {
  const { uid = 0, gid = 0 } = entry;
  for (const id of [uid, gid]) if (!Number.isInteger(id) || id < 0 || id >= SIZE_MAX) return "an owner has 32 bits";
  if (entry.kind === "link") {
    const size = utf8(entry.target).length;
    return size < 1 || size > TARGET_MAX || entry.target.includes("\0")
      ? `a link's target has 1 to ${TARGET_MAX} bytes`
      : undefined;
  }
  if (!Number.isInteger(entry.mode) || entry.mode < 0 || entry.mode > 0o1777) return "a mode is 0 to 1777";
  if (entry.kind === "file" && entry.data.length >= SIZE_MAX) return "a file has less than 4 GiB";
  return undefined;
}

/** Joins small parts and leaves large ones alone. */
class PartList {
  readonly #parts: Uint8Array[] = [];
  #small: Uint8Array[] = [];
  #bytes = 0;
  /** Of all parts so far. */
  length = 0;

  add(bytes: Uint8Array): void {
    this.length += bytes.length;
    if (bytes.length >= PART_BYTES) this.#flush();
    if (bytes.length >= PART_BYTES) this.#parts.push(bytes);
    else if (bytes.length > 0) this.#small.push(bytes);
    this.#bytes += bytes.length >= PART_BYTES ? 0 : bytes.length;
    if (this.#bytes >= PART_BYTES) this.#flush();
  }

  pad(): void {
    this.add(new Uint8Array(paddingAfter(this.length)));
  }

  end(): readonly Uint8Array[] {
    this.#flush();
    return this.#parts;
  }

  #flush(): void {
    if (this.#bytes > 0) this.#parts.push(concat(...this.#small));
    this.#small = [];
    this.#bytes = 0;
  }
}

function writeEntry(parts: PartList, path: string, inode: number, entry: ArchiveEntry | undefined): void {
  const name = utf8(`${path}\0`);
  const data = entry ? contentOf(entry) : new Uint8Array();
  const { uid = 0, gid = 0 } = entry ?? {};
  const links = entry?.kind === "directory" ? 2 : 1;
  const fields = [inode, entry ? modeOf(entry) : 0, uid, gid, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  parts.add(utf8(CPIO_MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join("")));
  parts.add(name);
  parts.pad();
  parts.add(data);
  parts.pad();
}

function contentOf(entry: ArchiveEntry): Uint8Array {
  if (entry.kind === "file") return entry.data;
  return entry.kind === "link" ? utf8(entry.target) : new Uint8Array();
}

function modeOf(entry: ArchiveEntry): number {
  switch (entry.kind) {
    case "file":
      return CPIO_TYPE.regular | entry.mode;
    case "directory":
      return CPIO_TYPE.directory | entry.mode;
    case "link":
      return CPIO_TYPE.link | 0o777;
  }
}
