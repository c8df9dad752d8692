/**
 * The "newc" cpio format, as far as its reader and its writer share it: numbers, names, padding.
 *
 *   header   "070701" and 13 numbers of 8 hex digits: inode, mode, uid, gid, links, mtime, size, 4 × device,
 *            length of the name with its NUL, checksum
 *   name     and zeros up to a multiple of 4
 *   content  and zeros up to a multiple of 4; a link's is its target
 *
 * Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.
 *
 * @module
 */
import { utf8 } from "../bytes.ts";

export const CPIO_MAGIC = "070701";
export const CPIO_HEADER_BYTES = 110;
export const CPIO_TRAILER = "TRAILER!!!";
export const CPIO_PATH_MAX = 1024;
/** Linux's NAME_MAX: in a longer one no file system holds what is named. */
const NAME_MAX = 255;
/** Of an archive, its trailer not counted. */
export const CPIO_ENTRIES_MAX = 65_536;
/** The type in a mode, and its values that are used here. */
export const CPIO_TYPE = { mask: 0o170000, directory: 0o040000, regular: 0o100000, link: 0o120000 } as const;

/** How many zeros follow. */
export function paddingAfter(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** `a/b/c` → `a/b`; undefined for what is in no directory. */
export function parentOf(path: string): string | undefined {
  const end = path.lastIndexOf("/");
  return end < 0 ? undefined : path.slice(0, end);
}

/** A name from a stranger as it stands in JSON, ASCII alone: no control character, nothing that turns text around. */
export function printable(path: string): string {
  const escaped = JSON.stringify(path).slice(1, -1);
  return escaped.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Why an archive can not have this path; undefined when it can. */
export function pathProblem(path: string): string | undefined {
  if (path.length === 0 || utf8(path).length > CPIO_PATH_MAX) return `a path has 1 to ${CPIO_PATH_MAX} bytes`;
  if (path.includes("\0")) return "a path has no NUL byte";
  if (path === CPIO_TRAILER) return "the name is the trailer's";
  const segments = path.split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "a path is relative, without empty, . or .. segments";
  }
  if (segments.some((segment) => utf8(segment).length > NAME_MAX)) return `a name has at most ${NAME_MAX} bytes`;
  return undefined;
}
