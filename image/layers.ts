/**
 * Lays the layers of a container image over each other, in memory, and looks things up in what comes out.
 *
 *   whiteout   `.wh.<name>` takes away what lower layers have at that name, `.wh..wh..opq` all they have in that folder
 *   folder     over a folder: its mode and owner change; over anything else: replaces it
 *   others     replace what is there, with all below it
 *   hard link  to a file that is already there: becomes a file of the same bytes
 *
 * A link is never followed while layers are laid: an entry below one is refused, so no layer writes anywhere but where
 * it says. Setuid and setgid bits are dropped; devices are refused but below /dev, which the kernel fills.
 *
 * Source: OCI image specification 1.1, "Image Layer Filesystem Changeset".
 *
 * @module
 */
import type { ArchiveEntry } from "../shared/eif/cpio-write.ts";
import { EifError } from "../shared/errors/eif.ts";
import { readTar, type TarEntry } from "./tar.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const ENTRIES_MAX = 65_000;
const LINKS_MAX = 40;

/** The file system as it grows: a folder holds its own, so that taking one away takes all below it. */
export class LayeredTree {
  readonly #root: Folder = { kind: "folder", mode: 0o755, uid: 0, gid: 0, children: new Map() };
  readonly #maxBytes: number;
  #entries = 0;
  #bytes = 0;

  /** @param maxBytes of all files that are put, each hard link counted as the file it becomes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * @param layer the layer's tar, not compressed
   * @throws {EifError} `ERR_EIF_SOURCE`
   */
  lay(layer: Uint8Array): void {
    const entries = [...readTar(layer)];
    // Whiteouts are about lower layers alone, wherever they stand in this one.
    const folders = new Set(entries.filter(({ kind }) => kind === "directory").map(({ path }) => path));
    for (const { path } of entries) this.#takeAway(path, folders);
    for (const entry of entries) if (!nameOf(entry.path).startsWith(WHITEOUT)) this.#put(entry);
  }

  /** The tree, by path. */
  toTree(): ReadonlyMap<string, ArchiveEntry> {
    const tree = new Map<string, ArchiveEntry>();
    const walk = ({ children }: Folder, prefix: string): void => {
      for (const [name, node] of children) {
        const path = prefix + name;
        if (node.kind === "folder") {
          tree.set(path, { kind: "directory", mode: node.mode, uid: node.uid, gid: node.gid });
          walk(node, `${path}/`);
        } else {
          tree.set(path, node);
        }
      }
    };
    walk(this.#root, "");
    return tree;
  }

  /** The file that an absolute path leads to in this tree, links followed within it; undefined where none is. */
  resolve(path: string): FileEntry | undefined {
    // The next segment is the last: taking from the front would move all the others each time.
    const rest = segmentsOf(path).reverse();
    const stack: Folder[] = [this.#root];
    let links = 0;
    for (let segment = rest.pop(); segment !== undefined; segment = rest.pop()) {
      if (segment === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      const node = stack.at(-1)?.children.get(segment);
      if (node?.kind === "folder") {
        stack.push(node);
      } else if (node?.kind === "link") {
        if (++links > LINKS_MAX) return undefined;
        if (node.target.startsWith("/")) stack.length = 1;
        rest.push(...segmentsOf(node.target).reverse());
      } else {
        return rest.length === 0 ? node : undefined;
      }
    }
    return undefined;
  }

  #takeAway(path: string, folders: ReadonlySet<string>): void {
    if (
      parentOf(path)
        .split("/")
        .some((segment) => segment.startsWith(WHITEOUT))
    ) {
      throw refused(path, "a whiteout has nothing below it");
    }
    const name = nameOf(path);
    if (!name.startsWith(WHITEOUT)) return;
    const folder = this.#lowerFolder(path, folders);
    if (name === OPAQUE) {
      folder?.children.clear();
    } else if (name.length === WHITEOUT.length || name.startsWith(`${WHITEOUT}${WHITEOUT}`)) {
      throw refused(path, "is a whiteout that is known");
    } else {
      folder?.children.delete(name.slice(WHITEOUT.length));
    }
  }

  /** The folder that a whiteout is about; undefined where there is none, or this layer puts one in a link's place. */
  #lowerFolder(path: string, folders: ReadonlySet<string>): Folder | undefined {
    let folder = this.#root;
    for (let end = path.indexOf("/"), from = 0; end > 0; from = end + 1, end = path.indexOf("/", from)) {
      const next = folder.children.get(path.slice(from, end));
      if (next === undefined) return undefined;
      if (next.kind !== "folder") {
        if (folders.has(path.slice(0, end))) return undefined;
        throw refused(path, `is below a ${next.kind}, which is not followed`);
      }
      folder = next;
    }
    return folder;
  }

  #put(entry: TarEntry): void {
    const { path } = entry;
    if (entry.kind === "device") {
      if (path.startsWith("dev/")) return;
      throw refused(path, "is a file, a folder or a link");
    }
    this.#count(path);
    const parent = this.#makeFolder(parentOf(path));
    const there = parent.children.get(nameOf(path));
    const node = this.#toNode(entry);
    this.#bytes += node.kind === "file" ? node.data.length : 0;
    if (this.#bytes > this.#maxBytes) throw refused(path, `files have at most ${this.#maxBytes} bytes together`);
    if (node.kind === "folder" && there?.kind === "folder") Object.assign(there, { ...node, children: there.children });
    else parent.children.set(nameOf(path), node);
  }

  #count(path: string): void {
    if (++this.#entries > ENTRIES_MAX) throw refused(path, `layers have at most ${ENTRIES_MAX} entries together`);
  }

  #toNode({ kind, path, target, mode, uid, gid, data }: TarEntry): Node {
    for (const id of [uid, gid]) if (id >= 0xffff_ffff) throw refused(path, "its owner has 32 bits");
    switch (kind) {
      case "directory":
        return { kind: "folder", mode: mode & 0o1777, uid, gid, children: new Map() };
      case "file":
        return { kind: "file", data, mode: mode & 0o777, uid, gid };
      case "link":
        return { kind: "link", target, uid, gid };
      case "hard link": {
        const other = this.#find(target);
        if (other?.kind !== "file") throw refused(path, "a hard link leads to a file that is there");
        return other;
      }
      case "device":
        throw refused(path, "is a file, a folder or a link");
    }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const segment of path === "" ? [] : path.split("/")) {
      node = node?.kind === "folder" ? node.children.get(segment) : undefined;
    }
    return node;
  }

  #makeFolder(path: string): Folder {
    let folder = this.#root;
    for (const segment of path === "" ? [] : path.split("/")) {
      let next = folder.children.get(segment);
      if (next === undefined) {
        this.#count(path);
        next = { kind: "folder", mode: 0o755, uid: 0, gid: 0, children: new Map() };
        folder.children.set(segment, next);
      }
      if (next.kind !== "folder") throw refused(path, `is below a ${next.kind}, which is not followed`);
      folder = next;
    }
    return folder;
  }
}

export type FileEntry = ArchiveEntry & { readonly kind: "file" };
type LinkEntry = ArchiveEntry & { readonly kind: "link" };

interface Folder {
  readonly kind: "folder";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly children: Map<string, Node>;
}

type Node = Folder | FileEntry | LinkEntry;

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "" && segment !== ".");
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function refused(path: string, rule: string): EifError {
  return new EifError("ERR_EIF_SOURCE", { entry: JSON.stringify(path), rule });
}
