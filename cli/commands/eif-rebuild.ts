/**
 * `cloister eif rebuild`: builds an image again from its manifest, and says whether it is the same.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { checkManifest, parseManifest } from "../../image/building.ts";
import { readArguments, readInput } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";

const REBUILD_USAGE = `usage: cloister eif rebuild --check MANIFEST [--base DIR] [--json]

  builds from the inputs that the manifest names and compares inputs, PCRs and the whole file; writes nothing
  paths in the manifest are relative to its folder, or to --base
  exit codes: 0 the same, 4 not the same, 2 an input is missing

  example: cloister eif rebuild --check app.eif.manifest.json`;

export async function eifRebuild(args: readonly string[], { print }: Terminal): Promise<number> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = { check: text, base: text, json: flag, help: flag };
  const { values } = readArguments(args, { options, operands: 0, usage: REBUILD_USAGE });
  if (values["help"]) {
    print(REBUILD_USAGE);
    return 0;
  }
  const path = values["check"];
  if (typeof path !== "string") throw new UsageError("--check is missing", REBUILD_USAGE);
  const manifest = parseManifest(await readInput(path), path);
  const base = typeof values["base"] === "string" ? values["base"] : dirname(path);
  const { measurements, image } = await checkManifest(manifest, resolve(base));
  if (values["json"]) print(JSON.stringify({ ...measurements, ...image }));
  else for (const [name, value] of Object.entries(measurements)) print(`${name} ${value}`);
  return 0;
}
