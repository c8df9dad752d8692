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
/** The type in a mode, and its values that are used here. */
export const CPIO_TYPE = { mask: 0o170000, directory: 0o040000, regular: 0o100000, link: 0o120000 } as const;

/** How many zeros follow. */
export function paddingAfter(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** `a/b/c` → `a`, `a/b`. */
export function parentsOf(path: string): string[] {
  const segments = path.split("/").slice(0, -1);
  return segments.map((_, index) => segments.slice(0, index + 1).join("/"));
}

/** Why an archive can not have this path; undefined when it can. */
export function pathProblem(path: string): string | undefined {
  if (path.length === 0 || utf8(path).length > CPIO_PATH_MAX) return `a path has 1 to ${CPIO_PATH_MAX} bytes`;
  if (path.includes("\0")) return "a path has no NUL byte";
  if (path === CPIO_TRAILER) return "the name is the trailer's";
  if (path.split("/").some((segment) => segment === "" || segment === "." || segment === "..")) {
    return "a path is relative, without empty, . or .. segments";
  }
  return undefined;
}
