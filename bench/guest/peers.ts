/**
 * Puts the other proxies into the guest: AWS's vsock-proxy where its executable is given, socat where this host has it.
 *
 * A dynamic executable comes with this host's libraries and loader, in a folder beside the guest's own, which may be
 * others; it is started through that loader. A static one is started as it is.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import type { Tree } from "../../image/build.ts";
import { readElf } from "../../image/elf.ts";
import type { ArchiveEntry } from "../../shared/eif/cpio-write.ts";
import type { Peers } from "./samples.ts";

export interface FoundPeers {
  readonly files: Tree;
  readonly commands: Peers;
  /** By name. */
  readonly missing: readonly string[];
}

const FOLDER = "peers";

/** @param vsockProxy path of its executable */
export function findPeers(vsockProxy: string | undefined): FoundPeers {
  const files = new Map<string, ArchiveEntry>();
  const socat = pathOf("socat");
  const commands = {
    ...(vsockProxy !== undefined && { vsockProxy: place("vsock-proxy", { path: vsockProxy, files }) }),
    ...(socat !== undefined && { socat: place("socat", { path: socat, files }) }),
  };
  const missing = [...(vsockProxy === undefined ? ["vsock-proxy"] : []), ...(socat === undefined ? ["socat"] : [])];
  return { files, commands, missing };
}

/** Gives how it is started in the guest. */
function place(
  name: string,
  { path, files }: { readonly path: string; readonly files: Map<string, ArchiveEntry> },
): readonly string[] {
  const put = (as: string, from: string): void => {
    files.set(`${FOLDER}/${as}`, { kind: "file", data: readFileSync(realpathSync(from)), mode: 0o755 });
  };
  put(name, path);
  const { loader } = readElf(readFileSync(path), name, "x86_64");
  if (loader === undefined) return [`/${FOLDER}/${name}`];
  for (const library of librariesOf(path)) put(`lib/${basename(library)}`, library);
  return [`/${FOLDER}/lib/${basename(loader)}`, "--library-path", `/${FOLDER}/lib`, `/${FOLDER}/${name}`];
}

/** With the loader, by absolute path. */
function librariesOf(path: string): readonly string[] {
  const listed = execFileSync("ldd", [path], { encoding: "utf8" });
  return [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, library = ""]) => library);
}

function pathOf(program: string): string | undefined {
  try {
    return execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
  } catch {
    return undefined; // it says so by its status
  }
}
