/**
 * Reads the application of an image: a folder of a Node application, a whole root file system, or a container archive.
 *
 * @module
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { ArchiveEntry } from "../shared/eif/cpio-write.ts";
import { EifError } from "../shared/errors/eif.ts";
import type { Tree } from "./build.ts";
import { readContainer } from "./container.ts";
import { deviceEntry, mockEntry } from "./entry.ts";
import { type Exec, parseExec } from "./exec.ts";
import { readFolder, readInputFile } from "./folder.ts";
import { describeTree, type Inputs } from "./inputs.ts";
import { parseRecord } from "./lock.ts";
import type { Recipe } from "./recipe.ts";
import { nitroRoots, parseRoots, type Roots } from "./roots.ts";
import { NODE_EXEC, nodeRoot } from "./runtime.ts";

/** Paths; `none` where there is nothing. */
export type Source =
  | {
      readonly kind: "app";
      /** Holds `app.mjs`, for which an entry is written, or a `main.mjs` of its own. */
      readonly folder: string;
      /** The Node executable; `none` for platform `mock`, which runs on the host's. */
      readonly node: string;
      /** Folders in which its shared libraries are, searched in this order. */
      readonly libraries: readonly string[];
      /** Our addon for the image's architecture. */
      readonly native: string;
      /** Trust roots, for the entry that is written; `none` for platform `nitro`, which has AWS's. */
      readonly roots: string;
      /** JSON, for the entry that is written. */
      readonly config: string;
    }
  /** `exec` is JSON: program, arguments, directory, uid, gid, environment. */
  | { readonly kind: "rootfs"; readonly folder: string; readonly exec: string }
  /** What `docker save` writes, or an OCI image layout as tar; either may be compressed with gzip. */
  | { readonly kind: "archive"; readonly file: string };

export interface SourceOptions {
  readonly inputs: Inputs;
  /** Makes a path of the recipe one of the file system. */
  readonly at: (path: string) => string;
}

export interface Application {
  readonly root: Tree;
  readonly exec: Exec;
}

/**
 * @throws {EifError} `ERR_EIF_FILE`, `ERR_EIF_INPUT`, `ERR_EIF_INPUT_DRIFT`, `ERR_EIF_SOURCE`
 */
export async function readSource(recipe: Recipe, options: SourceOptions): Promise<Application> {
  const { source, architecture } = recipe;
  const { inputs, at } = options;
  switch (source.kind) {
    case "app":
      return readApp(recipe, source, options);
    case "rootfs": {
      const root = await readFolder(at(source.folder), { links: "kept" });
      inputs.own("rootfs", describeTree(root));
      const text = await readInputFile(at(source.exec));
      inputs.own("exec", text);
      return { root, exec: parseExec(text, source.exec) };
    }
    case "archive": {
      const bytes = await readInputFile(at(source.file));
      inputs.own("archive", bytes);
      return readContainer(bytes, { architecture });
    }
  }
}

type AppSource = Source & { readonly kind: "app" };

async function readApp(recipe: Recipe, source: AppSource, { inputs, at }: SourceOptions): Promise<Application> {
  const folder = await readFolder(at(source.folder), { links: "refused" });
  inputs.own("app", describeTree(folder));
  const files = new Map<string, Uint8Array>();
  for (const [path, entry] of folder) if (entry.kind === "file") files.set(path, entry.data);
  if (!files.has("main.mjs")) files.set("main.mjs", await writeMain(recipe, source, { inputs, at }));
  else if (source.roots !== "none" || source.config !== "none") {
    throw new EifError("ERR_EIF_INPUT", { input: "main.mjs", rule: "takes no roots and no config: it has its own" });
  }
  if (recipe.platform === "mock") {
    const entries = [...files].map(([path, data]) => [`app/${path}`, { kind: "file", data, mode: 0o644 }] as const);
    return { root: new Map<string, ArchiveEntry>(entries), exec: NODE_EXEC };
  }
  const native =
    source.native === "none" ? "none" : inputs.pinned("native addon", await readInputFile(at(source.native)));
  const root = await nodeRoot({
    architecture: recipe.architecture,
    node: inputs.pinned("node", await readInputFile(at(source.node), { links: "followed" })),
    library: async (name) => inputs.pinned(`library ${name}`, await findLibrary(name, source.libraries.map(at))),
    native,
    files,
  });
  return { root, exec: NODE_EXEC };
}

async function writeMain(recipe: Recipe, source: AppSource, { inputs, at }: SourceOptions): Promise<Uint8Array> {
  const config = source.config === "none" ? {} : await readConfig(at(source.config), inputs);
  const options = { ...(await readRoots(recipe, source, { inputs, at })), config };
  return recipe.platform === "mock" ? mockEntry(options) : deviceEntry(options);
}

async function readRoots({ platform }: Recipe, { roots }: AppSource, { inputs, at }: SourceOptions): Promise<Roots> {
  if (platform === "nitro") {
    if (roots === "none") return nitroRoots();
    throw new EifError("ERR_EIF_INPUT", { input: roots, rule: "an image for EC2 trusts AWS's roots and no others" });
  }
  if (roots === "none") throw new EifError("ERR_EIF_INPUT", { input: "roots", rule: `${platform} has no default` });
  const bytes = await readInputFile(at(roots));
  inputs.own("roots", bytes);
  return parseRoots(bytes, roots);
}

async function readConfig(path: string, inputs: Inputs): Promise<object> {
  const bytes = await readInputFile(path);
  inputs.own("config", bytes);
  return parseRecord(bytes, "config");
}

async function findLibrary(name: string, folders: readonly string[]): Promise<Uint8Array> {
  for (const folder of folders) {
    const path = join(folder, name);
    const isThere = await lstat(path).then(
      () => true,
      () => false,
    );
    if (isThere) return readInputFile(path, { links: "followed" });
  }
  throw new EifError("ERR_EIF_INPUT", { input: `library ${name}`, rule: "is in one of the library folders" });
}
