/**
 * Lays out the file system of a Node application: the runtime, the libraries it asks for and no others, the application.
 *
 *   /bin/node                               executable
 *   /lib/…, /lib64 → lib                    the loader and every library, by the names they are asked for
 *   /etc/hosts                              localhost
 *   /etc/passwd                             one user: without HOME, and there is none, libraries ask here for a home
 *   /native/prebuilds/linux-<arch>.node     our addon, where the application looks for it
 *   /app/…                                  the application; /app/main.mjs is started
 *
 * All libraries are in one folder, since a loader's own idea of where libraries are differs between distributions:
 * `/lib` and `/lib64` are in each.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";
import type { ArchiveEntry } from "../shared/eif/cpio-write.ts";
import type { Architecture } from "../shared/eif/layout.ts";
import { EifError } from "../shared/errors/eif.ts";
import type { Tree } from "./build.ts";
import { readElf } from "./elf.ts";
import type { Exec } from "./exec.ts";

export interface NodeRootOptions {
  readonly architecture: Architecture;
  /** The Node executable. */
  readonly node: Uint8Array;
  /** The bytes of a library by the name it is asked for, such as `libc.so.6`; asked once each. */
  readonly library: (name: string) => Uint8Array | Promise<Uint8Array>;
  /** Our addon for this architecture; `none` for an application that does without vsock and NSM. */
  readonly native: Uint8Array | "none";
  /** The application's files by relative path, `main.mjs` among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** How a Node application is started: nothing in the environment, its folder as working directory. */
export const NODE_EXEC: Exec = {
  program: "/bin/node",
  arguments: ["node", "/app/main.mjs"],
  directory: "/app",
  uid: 0,
  gid: 0,
  environment: [],
};

const NODE_NAMES: Readonly<Record<Architecture, string>> = { x86_64: "x64", arm64: "arm64" };
const PASSWD = "root:x:0:0:root:/app:/nonexistent\n";
const HOSTS = "127.0.0.1 localhost\n::1 localhost\n";
const LIBRARIES_MAX = 64;

/**
 * @throws {EifError} `ERR_EIF_INPUT` an executable for another machine, or no `main.mjs`
 */
export async function nodeRoot(options: NodeRootOptions): Promise<Tree> {
  const { architecture, node, native, files } = options;
  if (!files.has("main.mjs")) throw new EifError("ERR_EIF_INPUT", { input: "the application", rule: "has main.mjs" });
  const root = new Map<string, ArchiveEntry>([
    ["bin/node", executable(node)],
    ["etc/hosts", plain(utf8(HOSTS))],
    ["etc/passwd", plain(utf8(PASSWD))],
    ["lib64", { kind: "link", target: "lib" }],
  ]);
  for (const [name, bytes] of await closure(options)) root.set(`lib/${name}`, executable(bytes));
  if (native !== "none") {
    readElf(native, "native addon", architecture);
    root.set(`native/prebuilds/linux-${NODE_NAMES[architecture]}.node`, plain(native));
  }
  for (const [path, bytes] of files) root.set(`app/${path}`, plain(bytes));
  return root;
}

/** The loader and every library that Node, the addon, or another library asks for. */
async function closure({ architecture, node, native, library }: NodeRootOptions): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const { loader, needed } = readElf(node, "node", architecture);
  const wanted = [...needed, ...(native === "none" ? [] : readElf(native, "native addon", architecture).needed)];
  if (loader !== undefined) wanted.push(loaderName(loader));
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    if (found.has(name)) continue;
    if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(name) || found.size === LIBRARIES_MAX) {
      throw new EifError("ERR_EIF_INPUT", { input: "node", rule: `asks for ${LIBRARIES_MAX} plainly named libraries` });
    }
    const bytes = await library(name);
    wanted.push(...readElf(bytes, name, architecture).needed);
    found.set(name, bytes);
  }
  return found;
}

function loaderName(path: string): string {
  const name = /^\/lib(?:64)?\/([^/]+)$/.exec(path)?.[1];
  if (name === undefined)
    throw new EifError("ERR_EIF_INPUT", { input: "node", rule: "its loader is in /lib or /lib64" });
  return name;
}

function executable(data: Uint8Array): ArchiveEntry {
  return { kind: "file", data, mode: 0o755 };
}

function plain(data: Uint8Array): ArchiveEntry {
  return { kind: "file", data, mode: 0o644 };
}
