/**
 * `cloister eif rebuild`: builds an image again from its manifest, and says whether it is the same.
 *
 * @module
 */
import { lstat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { checkManifest, parseManifest, readInputFile } from "../../image/building.ts";
import { sha256 } from "../../image/inputs.ts";
import { printable } from "../../shared/eif/cpio-format.ts";
import { EifError } from "../../shared/errors/index.ts";
import { readArguments, readInput } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";

const REBUILD_USAGE = `usage: cloister eif rebuild --check MANIFEST [--image FILE] [--base DIR] [--compiler NAME|PATH] [--json]

  builds from the inputs that the manifest names and compares inputs, PCRs and the SHA-256 of the whole file with what
  the manifest says, and with the image file; writes nothing
  the image file is the one beside the manifest (its name without .manifest.json), or --image; where there is none,
  standard error says so
  paths in the manifest are relative to its folder, or to --base; the compiler is looked up by the manifest's name for it
  exit codes: 0 the same, 4 not the same, 2 an input is missing

  example: cloister eif rebuild --check app.eif.manifest.json`;

const SUFFIX = ".manifest.json";

export async function eifRebuild(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = { check: text, image: text, base: text, compiler: text, json: flag, help: flag };
  const { values } = readArguments(args, { options, operands: 0, usage: REBUILD_USAGE });
  if (values["help"]) {
    print(REBUILD_USAGE);
    return 0;
  }
  const path = values["check"];
  if (typeof path !== "string") throw new UsageError("--check is missing", REBUILD_USAGE);
  const manifest = parseManifest(await readInput(path), path);
  const { base = dirname(path), compiler, image: given } = values as Readonly<Record<string, string | undefined>>;
  const rebuilt = await checkManifest(manifest, { base: resolve(base), ...(compiler !== undefined && { compiler }) });
  const file = given ?? (await imageBeside(path));
  if (file === undefined) tell("image file not compared: there is none beside the manifest, and no --image");
  else await compareFile(file, rebuilt.image.sha256);
  const { measurements, image } = rebuilt;
  const imageFile = file === undefined ? "not compared" : "the same";
  if (values["json"]) print(JSON.stringify({ ...measurements, ...image, imageFile }));
  else for (const [name, value] of Object.entries(measurements)) print(`${name} ${value}`);
  return 0;
}

/** Undefined where there is nothing of that name; whatever else is there is compared, or can not be read. */
async function imageBeside(manifest: string): Promise<string | undefined> {
  if (!manifest.endsWith(SUFFIX)) return undefined;
  const path = manifest.slice(0, -SUFFIX.length);
  const isMissing = await lstat(path).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === "ENOENT",
  );
  return isMissing ? undefined : path;
}

async function compareFile(path: string, expected: string): Promise<void> {
  const actual = sha256(await readInputFile(path, { links: "followed" }));
  if (actual !== expected) {
    const details = { field: `the SHA-256 of ${printable(path)}`, expected: actual, actual: expected };
    throw new EifError("ERR_EIF_REBUILD", details);
  }
}
