/**
 * Reads the cpio archive ("newc") that a ramdisk is.
 *
 * The reader is strict, because its paths end up in a file system: regular files and directories only, plain relative
 * paths, no name twice, a parent before its child, zero padding, a trailer and only zeros after. It gives views of the
 * input.
 *
 * @module
 */
import { isAllZero } from "../bytes.ts";
import { EifError } from "../errors/eif.ts";
import {
  CPIO_ENTRIES_MAX,
  CPIO_HEADER_BYTES,
  CPIO_MAGIC,
  CPIO_PATH_MAX,
  CPIO_TRAILER,
  CPIO_TYPE,
  paddingAfter,
  parentOf,
  pathProblem,
  printable,
} from "./cpio-format.ts";

export type CpioEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly data: Uint8Array };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * @throws {EifError} `ERR_EIF_ARCHIVE` with the entry's path, or its number where the path is not readable
 */
export function readCpio(bytes: Uint8Array): readonly CpioEntry[] {
  const entries = new Map<string, CpioEntry>();
  let offset = 0;
  for (let index = 0; index <= CPIO_ENTRIES_MAX; index++) {
    const raw = readEntry(bytes, offset, `#${index}`);
    offset = raw.next;
    if (raw.path === CPIO_TRAILER) {
      if (!isAllZero(bytes.subarray(offset))) throw archive(CPIO_TRAILER, "only zeros may follow");
      if (raw.data.length > 0) throw archive(CPIO_TRAILER, "has no content");
      return [...entries.values()];
    }
    const problem = pathProblem(raw.path);
    if (problem) throw archive(`#${index}`, problem);
    if (entries.has(raw.path)) throw archive(raw.path, "comes twice");
    const parent = parentOf(raw.path);
    if (parent !== undefined && entries.get(parent)?.kind !== "directory") {
      throw archive(raw.path, "its directory comes before it");
    }
    entries.set(raw.path, toEntry(raw));
  }
  throw archive(`#${CPIO_ENTRIES_MAX}`, `at most ${CPIO_ENTRIES_MAX} entries`);
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
  switch (mode & CPIO_TYPE.mask) {
    case CPIO_TYPE.directory:
      if (data.length > 0) throw archive(path, "a directory has no content");
      return { kind: "directory", path };
    case CPIO_TYPE.regular:
      if (links !== 1) throw archive(path, "has no hard links");
      return { kind: "file", path, data };
    default:
      throw archive(path, "is a regular file or a directory");
  }
}

function readEntry(bytes: Uint8Array, offset: number, label: string): RawEntry {
  if (bytes.length - offset < CPIO_HEADER_BYTES) throw archive(label, "the archive ends without a trailer");
  const header = String.fromCharCode(...bytes.subarray(offset, offset + CPIO_HEADER_BYTES));
  if (!header.startsWith(CPIO_MAGIC)) throw archive(label, `starts with ${CPIO_MAGIC}`);
  if (!/^[0-9a-fA-F]{110}$/.test(header)) throw archive(label, "its header is hex digits");
  const field = (index: number): number => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
  const [mode, links, size, nameBytes] = [field(1), field(4), field(6), field(11)];
  if (field(12) !== 0) throw archive(label, "its checksum field is zero");
  if (nameBytes < 2 || nameBytes > CPIO_PATH_MAX + 1) throw archive(label, `its path has 1 to ${CPIO_PATH_MAX} bytes`);
  const nameAt = offset + CPIO_HEADER_BYTES;
  const dataAt = nameAt + nameBytes + paddingAfter(CPIO_HEADER_BYTES + nameBytes);
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
  return new EifError("ERR_EIF_ARCHIVE", { entry: printable(entry), rule });
}
