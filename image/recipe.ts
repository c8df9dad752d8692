/**
 * What an image is built from, as data: written beside the image, so that anybody can build it again.
 *
 * Paths are relative to the recipe's base folder, or absolute. A recipe decides everything that goes into the image;
 * what it names is read once, recorded in the inputs and compared with the pins.
 *
 * @module
 */
import { join, resolve } from "node:path";
import type { Architecture } from "../shared/eif/layout.ts";
import type { EifMeasurements } from "../shared/eif/measure.ts";
import { EifError } from "../shared/errors/eif.ts";
import { buildAppImage } from "./app.ts";
import { buildImage, type KernelModule, type Tree } from "./build.ts";
import { compileInit } from "./compile-init.ts";
import { readElf } from "./elf.ts";
import { readInputFile } from "./folder.ts";
import type { Inputs } from "./inputs.ts";
import { readSource, type Source } from "./source.ts";

export type Boot =
  /** `cmdline` is the text itself. */
  | { readonly kind: "kernel"; readonly kernel: string; readonly cmdline: string; readonly modules: readonly string[] }
  /** A folder of nitro-cli's blobs: kernel, command line and NSM driver. */
  | { readonly kind: "blobs"; readonly folder: string };

export interface Recipe {
  readonly platform: "mock" | "emulated" | "nitro";
  readonly architecture: Architecture;
  readonly name: string;
  readonly version: string;
  /** `none` for `mock` alone, which boots nothing. */
  readonly boot: Boot | { readonly kind: "none" };
  readonly init:
    | { readonly kind: "file"; readonly path: string }
    /** A name that is looked up in a fixed PATH, no path: who checks an image runs no program that its recipe brings. */
    | { readonly kind: "compiled"; readonly compiler: string };
  readonly source: Source;
}

export interface Cooked {
  readonly parts: readonly Uint8Array[];
  readonly measurements: EifMeasurements;
  readonly contents: Tree;
}

/** Order matters: each needs those before it. Debian's cloud kernel has these as modules. */
export const EMULATED_MODULES: readonly string[] = [
  "vsock.ko",
  "vmw_vsock_virtio_transport_common.ko",
  "vsock_loopback.ko",
  "virtio_mmio.ko",
  "vmw_vsock_virtio_transport.ko",
  "nsm.ko",
];

export const EMULATED_CMDLINE = "reboot=k panic=30 console=ttyS0 random.trust_cpu=on cloister.platform=emulated";

/**
 * @param base what relative paths in the recipe are relative to
 * @throws {EifError} `ERR_EIF_FILE`, `ERR_EIF_INPUT`, `ERR_EIF_INPUT_DRIFT`, `ERR_EIF_SOURCE`
 */
export async function buildFromRecipe(recipe: Recipe, { base, inputs, compiler }: RecipeOptions): Promise<Cooked> {
  const { platform, architecture, name, version, boot, init } = recipe;
  const at = (path: string): string => resolve(base, path);
  if (platform === "mock") return buildMock(recipe, { base, inputs });
  if (boot.kind === "none") throw new EifError("ERR_EIF_INPUT", { input: "the kernel", rule: `${platform} has one` });
  if (boot.kind === "blobs" && platform !== "nitro") {
    throw new EifError("ERR_EIF_INPUT", { input: "nitro-cli's kernel", rule: "boots in platform nitro alone" });
  }
  const { kernel, cmdline, modules } = await readBoot(boot, { architecture, inputs, at });
  const initBytes =
    init.kind === "file"
      ? inputs.pinned("init", await readInputFile(at(init.path)))
      : await compileInit(inputs, { compiler: compiler ?? init.compiler });
  if (readElf(initBytes, "init", architecture).loader !== undefined) {
    throw new EifError("ERR_EIF_INPUT", { input: "init", rule: "is a static executable" });
  }
  const { root, exec } = await readSource(recipe, { inputs, at });
  const options = { platform, architecture, kernel, cmdline, modules, init: initBytes, root, exec, name, version };
  return buildImage(options);
}

export interface RecipeOptions {
  readonly base: string;
  readonly inputs: Inputs;
  /** Instead of the compiler that the recipe names; a path is welcome here. */
  readonly compiler?: string;
}

interface Reading {
  readonly architecture: Architecture;
  readonly inputs: Inputs;
  readonly at: (path: string) => string;
}

async function readBoot(
  boot: Boot,
  { architecture, inputs, at }: Reading,
): Promise<{ kernel: Uint8Array; cmdline: string; modules: readonly KernelModule[] }> {
  const module = async (path: string): Promise<KernelModule> => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    return { name, bytes: inputs.pinned(`module ${name}`, await readInputFile(at(path))) };
  };
  if (boot.kind === "kernel") {
    const kernel = inputs.pinned("kernel", await readInputFile(at(boot.kernel)));
    const modules: KernelModule[] = [];
    for (const path of boot.modules) modules.push(await module(path));
    return { kernel, cmdline: boot.cmdline, modules };
  }
  const blob = (name: string): Promise<Uint8Array> => readInputFile(at(join(boot.folder, name)));
  const kernel = inputs.pinned("kernel", await blob(architecture === "x86_64" ? "bzImage" : "Image"));
  const cmdline = decodeCmdline(inputs.pinned("cmdline", await blob("cmdline")));
  return { kernel, cmdline, modules: [await module(join(boot.folder, "nsm.ko"))] };
}

function decodeCmdline(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch (cause) {
    throw new EifError("ERR_EIF_INPUT", { input: "the command line", rule: "it is UTF-8" }, { cause });
  }
}

async function buildMock(recipe: Recipe, { base, inputs }: RecipeOptions): Promise<Cooked> {
  const { architecture, name, version, source } = recipe;
  if (source.kind !== "app") throw new EifError("ERR_EIF_INPUT", { input: "a mock image", rule: "runs an app folder" });
  const { root } = await readSource(recipe, { inputs, at: (path) => resolve(base, path) });
  const files = new Map<string, Uint8Array>();
  for (const [path, entry] of root) {
    if (entry.kind === "file" && path.startsWith("app/")) files.set(path.slice("app/".length), entry.data);
  }
  try {
    const { eif, measurements } = await buildAppImage({ files, platform: "mock", architecture, name, version });
    return { parts: [eif], measurements, contents: root };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new EifError("ERR_EIF_INPUT", { input: "a mock image", rule: cause.message }, { cause });
  }
}
