/**
 * Reads and writes the cpio archives ("newc") that a ramdisk is made of.
 *
 * The writer is deterministic: paths sorted, every owner and time zero, inodes counted from 1, directories before
 * what is in them. The reader is strict, because its paths end up in a file system: regular files and directories
 * only, plain relative paths, no name twice, a parent before its child, zero padding, a trailer and only zeros after.
 * It gives views of the input.
 *
 * Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.
 *
 * @module
 */
import { concat, isAllZero, utf8 } from "../bytes.ts";
import { EifError } from "../errors/eif.ts";

export type CpioEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly data: Uint8Array };

const MAGIC = "070701";
const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";
const PATH_MAX = 1024;
const ENTRIES_MAX = 65_536;
const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Writes the files, and the directories they need, as an archive.
 *
 * @throws {RangeError} a path that the reader would refuse
 */
export function writeCpio(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const directories = new Set<string>();
  for (const path of files.keys()) {
    const problem = pathProblem(path);
    if (problem) throw new RangeError(`can not archive ${JSON.stringify(path)}: ${problem}`);
    for (const parent of parentsOf(path)) directories.add(parent);
  }
  const both = [...directories].find((path) => files.has(path));
  if (both !== undefined) throw new RangeError(`${JSON.stringify(both)} is a file and a directory`);
  const paths = [...directories, ...files.keys()].sort((a, b) => (a < b ? -1 : 1));
  const parts = paths.map((path, index) => {
    const data = files.get(path);
    return data
      ? writeEntry(path, index + 1, REGULAR | 0o644, 1, data)
      : writeEntry(path, index + 1, DIRECTORY | 0o755, 2);
  });
  return concat(...parts, writeEntry(TRAILER, 0, 0, 1));
}

function writeEntry(
  path: string,
  inode: number,
  mode: number,
  links: number,
  data: Uint8Array = new Uint8Array(),
): Uint8Array {
  const name = utf8(`${path}\0`);
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  return concat(
    utf8(header),
    name,
    new Uint8Array(paddingAfter(HEADER_BYTES + name.length)),
    data,
    new Uint8Array(paddingAfter(data.length)),
  );
}

function paddingAfter(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** `a/b/c` → `a`, `a/b`. */
function parentsOf(path: string): string[] {
  const segments = path.split("/").slice(0, -1);
  return segments.map((_, index) => segments.slice(0, index + 1).join("/"));
}

function pathProblem(path: string): string | undefined {
  if (path.length === 0 || utf8(path).length > PATH_MAX) return `a path has 1 to ${PATH_MAX} bytes`;
  if (path.includes("\0")) return "a path has no NUL byte";
  if (path === TRAILER) return "the name is the trailer's";
  if (path.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "a path is relative, without empty, . or .. segments";
  }
  return undefined;
}

/**
 * @throws {EifError} `ERR_EIF_ARCHIVE` with the entry's path, or its number where the path is not readable
 */
export function readCpio(bytes: Uint8Array): readonly CpioEntry[] {
  const entries = new Map<string, CpioEntry>();
  let offset = 0;
  for (let index = 0; index <= ENTRIES_MAX; index++) {
    const raw = readEntry(bytes, offset, `#${index}`);
    offset = raw.next;
    if (raw.path === TRAILER) {
      if (!isAllZero(bytes.subarray(offset))) throw archive(TRAILER, "only zeros may follow");
      if (raw.data.length > 0) throw archive(TRAILER, "has no content");
      return [...entries.values()];
    }
    const problem = pathProblem(raw.path);
    if (problem) throw archive(`#${index}`, problem);
    if (entries.has(raw.path)) throw archive(raw.path, "comes twice");
    const parent = parentsOf(raw.path).at(-1);
    if (parent !== undefined && entries.get(parent)?.kind !== "directory") {
      throw archive(raw.path, "its directory comes before it");
    }
    entries.set(raw.path, toEntry(raw));
  }
  throw archive(`#${ENTRIES_MAX}`, `at most ${ENTRIES_MAX} entries`);
}

interface RawEntry {
  readonly path: string;
  readonly mode: number;
  readonly links: number;
  readonly data: Uint8Array;
  readonly next: number;
}

function toEntry({ path, mode, links, data }: RawEntry): CpioEntry {
  if ((mode & 0o7000) !== 0) throw archive(path, "has no setuid, setgid or sticky bit");
  switch (mode & TYPE_MASK) {
    case DIRECTORY:
      if (data.length > 0) throw archive(path, "a directory has no content");
      return { kind: "directory", path };
    case REGULAR:
      if (links !== 1) throw archive(path, "has no hard links");
      return { kind: "file", path, data };
    default:
      throw archive(path, "is a regular file or a directory");
  }
}

function readEntry(bytes: Uint8Array, offset: number, label: string): RawEntry {
  if (bytes.length - offset < HEADER_BYTES) throw archive(label, "the archive ends without a trailer");
  const header = String.fromCharCode(...bytes.subarray(offset, offset + HEADER_BYTES));
  if (!header.startsWith(MAGIC)) throw archive(label, `starts with ${MAGIC}`);
  if (!/^[0-9a-fA-F]{110}$/.test(header)) throw archive(label, "its header is hex digits");
  const field = (index: number): number => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
  const [mode, links, size, nameBytes] = [field(1), field(4), field(6), field(11)];
  if (field(12) !== 0) throw archive(label, "its checksum field is zero");
  if (nameBytes < 2 || nameBytes > PATH_MAX + 1) throw archive(label, `its path has 1 to ${PATH_MAX} bytes`);
  const nameAt = offset + HEADER_BYTES;
  const dataAt = nameAt + nameBytes + paddingAfter(HEADER_BYTES + nameBytes);
  const next = dataAt + size + paddingAfter(size);
  if (next > bytes.length) throw archive(label, "is longer than the archive");
  const path = readPath(bytes.subarray(nameAt, nameAt + nameBytes), label);
  const padding = [bytes.subarray(nameAt + nameBytes, dataAt), bytes.subarray(dataAt + size, next)];
  if (!padding.every(isAllZero)) throw archive(label, "its padding is zero");
  return { path, mode, links, data: bytes.subarray(dataAt, dataAt + size), next };
}

function readPath(name: Uint8Array, label: string): string {
  if (name.indexOf(0) !== name.length - 1) throw archive(label, "its path ends with the one NUL byte");
  try {
    return decoder.decode(name.subarray(0, -1));
  } catch (cause) {
    throw new EifError("ERR_EIF_ARCHIVE", { entry: label, rule: "its path is UTF-8" }, { cause });
  }
}

function archive(entry: string, rule: string): EifError {
  return new EifError("ERR_EIF_ARCHIVE", { entry, rule });
}
