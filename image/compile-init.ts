/**
 * Compiles our init from its C sources into one static executable.
 *
 * The same compiler and the same C library give the same bytes: nothing of the folder, the locale or the time goes in,
 * and nothing but this process's arguments decides. Sources, compiler and result are inputs like any other.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { utf8 } from "../shared/bytes.ts";
import { EifError } from "../shared/errors/eif.ts";
import { readInputFile } from "./folder.ts";
import { describeTree, type Inputs } from "./inputs.ts";

export interface CompileOptions {
  /** The C compiler, by name or path. Default `cc`. */
  readonly compiler?: string;
  /** The folder of the sources. Default: those of this package. */
  readonly folder?: string;
}

const FLAGS = ["-std=gnu11", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"];
/** Of the built package and of the source tree: `dist/image` and `image`. */
const FOLDERS = ["../../image/init/", "./init/"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC", SOURCE_DATE_EPOCH: "0" };
const TIMEOUT_MS = 60_000;
const run = promisify(execFile);

/**
 * @throws {EifError} `ERR_EIF_INPUT` no compiler, or it refuses; `ERR_EIF_INPUT_DRIFT`
 */
export async function compileInit(
  inputs: Inputs,
  { compiler = "cc", folder }: CompileOptions = {},
): Promise<Uint8Array> {
  const { home, names } = await sources(folder === undefined ? FOLDERS : [folder]);
  const tree = new Map<string, { kind: "file"; data: Uint8Array; mode: number }>();
  for (const name of names) tree.set(name, { kind: "file", data: await readInputFile(join(home, name)), mode: 0o644 });
  inputs.pinned("init source", describeTree(tree));
  const version = (await compile(compiler, ["--version"], home)).split("\n")[0] ?? "";
  const machine = (await compile(compiler, ["-dumpmachine"], home)).trim();
  inputs.pinned("init compiler", utf8(`${version}\n${machine}\n`), `${version}, ${machine}`);
  const out = await mkdtemp(join(tmpdir(), "cloister-init-"));
  try {
    const result = join(out, "init");
    await compile(compiler, [...FLAGS, "-o", result, ...names.filter((name) => name.endsWith(".c"))], home);
    return inputs.pinned("init", await readInputFile(result));
  } finally {
    await rm(out, { recursive: true });
  }
}

async function sources(folders: readonly string[]): Promise<{ home: string; names: readonly string[] }> {
  for (const home of folders) {
    const names = await readdir(home).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    const c = names.filter((name) => /\.[ch]$/.test(name)).sort();
    if (c.includes("init.c")) return { home, names: c };
  }
  throw new EifError("ERR_EIF_INPUT", { input: "init", rule: "its sources are beside the package" });
}

/** The folder is given as the working directory: no path of this machine reaches the compiler. */
async function compile(compiler: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await run(compiler, args, { cwd, env: ENVIRONMENT, timeout: TIMEOUT_MS });
    return stdout;
  } catch (cause) {
    const rule = `${compiler} compiles it: ${String((cause as NodeJS.ErrnoException).code ?? "stopped")}`;
    throw new EifError("ERR_EIF_INPUT", { input: "init", rule }, { cause });
  }
}
