/**
 * Building images: from bytes in memory (`buildImage`), or from a recipe that names files.
 *
 * @module
 */

export type { ArchiveEntry, ArchiveOwner } from "../shared/eif/cpio-write.ts";
export { cpioParts } from "../shared/eif/cpio-write.ts";
export type { Image, ImageOptions, KernelModule, Ramdisks, Tree } from "./build.ts";
export { buildImage, buildRamdisks } from "./build.ts";
export type { CompileOptions } from "./compile-init.ts";
export { compileInit } from "./compile-init.ts";
export type { Exec } from "./exec.ts";
export { parseExec, writeExec } from "./exec.ts";
export { readFolder, readInputFile } from "./folder.ts";
export type { Pin, Pins } from "./inputs.ts";
export { Inputs } from "./inputs.ts";
export type { ImageLock } from "./lock.ts";
export { parseLock, updateLock, writeLock } from "./lock.ts";
export type { Manifest } from "./manifest.ts";
export { checkManifest, makeManifest, parseManifest, writeManifest } from "./manifest.ts";
export type { Boot, Cooked, Recipe, RecipeOptions } from "./recipe.ts";
export { buildFromRecipe } from "./recipe.ts";
export type { Roots } from "./roots.ts";
export { nitroRoots, parseRoots } from "./roots.ts";
export type { NodeRootOptions } from "./runtime.ts";
export { NODE_EXEC, nodeRoot } from "./runtime.ts";
export { writeSbom } from "./sbom.ts";
export type { Source } from "./source.ts";
