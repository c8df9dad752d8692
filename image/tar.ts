/**
 * Reads a tar archive of a container image: ustar, with pax headers and GNU long names, as Docker and its kin write.
 *
 * Strict, because its names end up in a file system and its lengths come from strangers: each header's checksum is
 * right, a name is relative without empty, `.` or `..` segments, a number is where a number stands, sizes are within the
 * archive, two zero blocks end it and only zeros follow. Nothing is allocated that a length field asks for: content is
 * a view of the input. What an entry means for a file system is not decided here.
 *
 * Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
 *
 * @module
 */
import { isAllZero } from "../shared/bytes.ts";
import { EifError } from "../shared/errors/eif.ts";
import { readPaxRecords } from "./pax.ts";

export interface TarEntry {
  readonly kind: "file" | "directory" | "link" | "hard link" | "device";
  readonly path: string;
  /** Of a link as it stands there; of a hard link a path of the archive, checked like one; else empty. */
  readonly target: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly data: Uint8Array;
}

export interface TarOptions {
  /** Default 65 000. */
  readonly maxEntries?: number;
}

const BLOCK_BYTES = 512;
/** Of a long name or a set of pax records. */
const EXTENSION_MAX = 65_536;
const PATH_MAX = 1024;
const TARGET_MAX = 4095;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const KINDS: Readonly<Record<string, TarEntry["kind"]>> = {
  "0": "file",
  "\0": "file",
  "1": "hard link",
  "2": "link",
  "3": "device",
  "4": "device",
  "5": "directory",
  "6": "device",
};

/** What extension headers said about the entry that follows them. */
interface Extension {
  path?: string;
  target?: string;
  size?: number;
  uid?: number;
  gid?: number;
}

/**
 * @throws {EifError} `ERR_EIF_SOURCE` with the entry's path, or its block where there is none yet
 */
export function* readTar(bytes: Uint8Array, { maxEntries = 65_000 }: TarOptions = {}): Generator<TarEntry> {
  let extension: Extension = {};
  /** The types of the extension headers since the last entry. */
  let pending = "";
  let entries = 0;
  for (let offset = 0; ; ) {
    const header = new Header(bytes, offset);
    if (header.isZero) {
      if (!isAllZero(bytes.subarray(offset)) || bytes.length - offset < 2 * BLOCK_BYTES) {
        throw header.refusal("two blocks of zeros end the archive, and zeros alone follow");
      }
      if (pending !== "") throw header.refusal("an extension comes before its entry");
      return;
    }
    header.check();
    const isExtension = "xgLK".includes(header.type);
    // A pax size is about the entry's content, never about another extension's.
    const size = isExtension ? header.size : (extension.size ?? header.size);
    const data = bytes.subarray(offset + BLOCK_BYTES, offset + BLOCK_BYTES + size);
    if (data.length !== size) throw header.refusal("the archive ends within it");
    offset += BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (++entries > maxEntries) throw header.refusal(`an archive has at most ${maxEntries} entries`);
    if (isExtension) {
      if (pending.includes("x")) throw header.refusal("after a pax header comes its entry");
      if (pending.includes(header.type)) throw header.refusal("an entry has one extension of a type");
      if (header.type !== "g") pending += header.type;
      if (size > EXTENSION_MAX) throw header.refusal(`an extension has at most ${EXTENSION_MAX} bytes`);
      extension = extend(extension, { header, data });
      continue;
    }
    const entry = toEntry(header, { extension, data });
    extension = {};
    pending = "";
    if (entry) yield entry;
  }
}

function extend(before: Extension, { header, data }: { header: Header; data: Uint8Array }): Extension {
  const said = extensionOf(header, data);
  for (const key of Object.keys(said)) if (Object.hasOwn(before, key)) throw header.refusal(`says ${key} twice`);
  return { ...before, ...said };
}

function extensionOf(header: Header, data: Uint8Array): Extension {
  if (header.type === "L") return { path: longName(header, data) };
  if (header.type === "K") return { target: longName(header, data) };
  const records = readPaxRecords(data, (rule) => header.refusal(rule));
  if (header.type === "g" && records.size > 0) {
    throw header.refusal("a header for all entries names no path, size or owner");
  }
  const said: Extension = {};
  for (const [key, value] of records) {
    if (key === "path") said.path = value;
    else if (key === "linkpath") said.target = value;
    else if (!/^(0|[1-9][0-9]{0,14})$/.test(value)) throw header.refusal(`${key} is a decimal number`);
    else said[key as "size" | "uid" | "gid"] = Number(value);
  }
  return said;
}

function longName(header: Header, data: Uint8Array): string {
  const end = data.indexOf(0);
  if (end !== data.length - 1) throw header.refusal("a long name ends with its one NUL byte");
  return header.text(data.subarray(0, end));
}

/** Undefined for the root itself. */
function toEntry(
  header: Header,
  { extension, data }: { readonly extension: Extension; readonly data: Uint8Array },
): TarEntry | undefined {
  const kind = KINDS[header.type];
  const name = extension.path ?? header.path;
  if (kind === undefined) throw header.refusal(`is of type ${JSON.stringify(header.type)}`, name);
  if (kind !== "file" && data.length > 0) throw header.refusal(`a ${kind} has no content`, name);
  const path = plainPath(kind === "directory" ? name.replace(/\/$/, "") : name);
  if (path === ".") return undefined;
  if (path === undefined) throw header.refusal("a path is relative, without empty, . or .. segments", name);
  const given = extension.target ?? header.target;
  const target = kind === "hard link" ? plainPath(given) : kind === "link" ? given : "";
  if (target === undefined || target === ".") throw header.refusal("a hard link leads to a path of the archive", name);
  if (kind === "link" && (target === "" || target.length > TARGET_MAX || target.includes("\0"))) {
    throw header.refusal(`a link's target has 1 to ${TARGET_MAX} characters`, name);
  }
  const { uid = header.uid, gid = header.gid } = extension;
  return { kind, path, target, mode: header.mode, uid, gid, data };
}

/** Without the leading `./` that many write; `.` for the root, undefined for what is no plain path. */
function plainPath(name: string): string | undefined {
  const path = name.replace(/^\.\//, "");
  if (path === "" || path === ".") return name === "" ? undefined : ".";
  if (path.length > PATH_MAX || path.includes("\0")) return undefined;
  return path.split("/").some((segment) => segment === "" || segment === "." || segment === "..") ? undefined : path;
}

/** A header block; its fields are read when they are asked for. */
class Header {
  readonly #block: Uint8Array;
  readonly #label: string;

  constructor(bytes: Uint8Array, offset: number) {
    this.#label = `block ${offset / BLOCK_BYTES}`;
    this.#block = bytes.subarray(offset, offset + BLOCK_BYTES);
    if (this.#block.length < BLOCK_BYTES) throw this.refusal("the archive ends without two blocks of zeros");
  }

  get isZero(): boolean {
    return isAllZero(this.#block);
  }

  check(): void {
    const sum = this.#block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
    if (sum !== this.#octal(148, 8)) throw this.refusal("its checksum is right");
    const magic = String.fromCharCode(...this.#block.subarray(257, 265));
    if (magic !== "ustar\x0000" && magic !== "ustar  \0") throw this.refusal("it is ustar, pax or GNU tar");
  }

  get type(): string {
    return String.fromCharCode(this.#block[156] ?? 0);
  }

  get size(): number {
    return this.#number(124, 12);
  }

  /** The permission bits. */
  get mode(): number {
    return this.#octal(100, 8) & 0o7777;
  }

  get uid(): number {
    return this.#number(108, 8);
  }

  get gid(): number {
    return this.#number(116, 8);
  }

  get path(): string {
    const isPosix = this.#block[263] === 0x30;
    const prefix = isPosix ? this.#string(345, 155) : "";
    return prefix === "" ? this.#string(0, 100) : `${prefix}/${this.#string(0, 100)}`;
  }

  get target(): string {
    return this.#string(157, 100);
  }

  text(bytes: Uint8Array): string {
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new EifError("ERR_EIF_SOURCE", { entry: this.#label, rule: "its names are UTF-8" }, { cause });
    }
  }

  refusal(rule: string, name = ""): EifError {
    const entry = name === "" ? this.#label : JSON.stringify(name.slice(0, PATH_MAX));
    return new EifError("ERR_EIF_SOURCE", { entry, rule });
  }

  #string(at: number, length: number): string {
    const field = this.#block.subarray(at, at + length);
    const end = field.indexOf(0);
    return this.text(end < 0 ? field : field.subarray(0, end));
  }

  #octal(at: number, length: number): number {
    const field = String.fromCharCode(...this.#block.subarray(at, at + length));
    const digits = /^ *([0-7]+)[ \0]*$/.exec(field)?.[1];
    if (digits === undefined) {
      if (/^[ \0]*$/.test(field)) return 0;
      throw this.refusal("a number is octal");
    }
    return Number.parseInt(digits, 8);
  }

  /** GNU writes what does not fit as a big-endian number with the top bit set. */
  #number(at: number, length: number): number {
    const field = this.#block.subarray(at, at + length);
    if (field[0] !== 0x80) return this.#octal(at, length);
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw this.refusal("a number has at most 53 bits");
    return value;
  }
}
