/**
 * What lies beside an image so that a third party can build it again and compare: recipe, inputs, measurements.
 *
 *   build    writes <image>, <image>.manifest.json and <image>.spdx.json
 *   check    builds from the manifest's recipe, demands its inputs to the byte, and compares PCRs and the digest of the
 *            whole file with what the manifest says
 *
 * The manifest is a claim, not evidence: what confirms it is that the one who checks built the same PCRs from inputs
 * that he vouches for.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { toHex } from "../shared/bytes.ts";
import type { EifMeasurements } from "../shared/eif/measure.ts";
import { EifError } from "../shared/errors/eif.ts";
import { checkInputs, Inputs, type Pins } from "./inputs.ts";
import { parsePins, parseRecord } from "./lock.ts";
import { buildFromRecipe, type Cooked, type Recipe, type RecipeOptions } from "./recipe.ts";
import { parseRecipe } from "./recipe-json.ts";

export interface Manifest {
  readonly recipe: Recipe;
  readonly inputs: Pins;
  /** Hex. */
  readonly measurements: { readonly PCR0: string; readonly PCR1: string; readonly PCR2: string };
  /** Of the image file. */
  readonly image: { readonly size: number; readonly sha256: string };
}

const VERSION = 1;

export function makeManifest(recipe: Recipe, { image, inputs }: { image: Cooked; inputs: Inputs }): Manifest {
  const digest = createHash("sha256");
  let size = 0;
  for (const part of image.parts) {
    digest.update(part);
    size += part.length;
  }
  return {
    recipe,
    inputs: inputs.used("all"),
    measurements: registers(image.measurements),
    image: { size, sha256: digest.digest("hex") },
  };
}

function registers({ pcr0, pcr1, pcr2 }: EifMeasurements): Manifest["measurements"] {
  return { PCR0: toHex(pcr0), PCR1: toHex(pcr1), PCR2: toHex(pcr2) };
}

export function writeManifest(manifest: Manifest): string {
  return `${JSON.stringify({ version: VERSION, ...manifest }, null, 2)}\n`;
}

/** @throws {EifError} `ERR_EIF_INPUT` */
export function parseManifest(bytes: Uint8Array, label: string): Manifest {
  const { version, recipe, inputs, measurements, image, ...rest } = parseRecord(bytes, label);
  const refuse = (rule: string): never => {
    throw new EifError("ERR_EIF_INPUT", { input: label, rule });
  };
  if (version !== VERSION || Object.keys(rest).length > 0) refuse(`is a manifest of version ${VERSION}`);
  const { PCR0, PCR1, PCR2 } = (measurements ?? {}) as Readonly<Record<string, unknown>>;
  const register = (value: unknown): string =>
    typeof value === "string" && /^[0-9a-f]{96}$/.test(value) ? value : refuse("its PCRs are 96 hex digits each");
  const pin = parsePins({ image }, label)["image"];
  return {
    recipe: parseRecipe(recipe, label),
    inputs: parsePins(inputs, label),
    measurements: { PCR0: register(PCR0), PCR1: register(PCR1), PCR2: register(PCR2) },
    image: pin ?? refuse("names the image's digest"),
  };
}

/**
 * Builds again what a manifest describes and compares.
 *
 * The image file itself is not read: who has one compares its SHA-256 with the result's.
 *
 * @throws {EifError} `ERR_EIF_INPUT_DRIFT` an input is another, `ERR_EIF_MEASUREMENT` a PCR is another,
 * `ERR_EIF_REBUILD` the file is another though its PCRs are not; and what building throws
 */
export async function checkManifest(
  manifest: Manifest,
  { base, compiler }: Omit<RecipeOptions, "inputs">,
): Promise<Manifest> {
  const inputs = new Inputs(manifest.inputs);
  const image = await buildFromRecipe(manifest.recipe, { base, inputs, ...(compiler !== undefined && { compiler }) });
  checkInputs(inputs.used("all"), manifest.inputs);
  const rebuilt = makeManifest(manifest.recipe, { image, inputs });
  for (const [index, name] of (["PCR0", "PCR1", "PCR2"] as const).entries()) {
    const [expected, actual] = [manifest.measurements[name], rebuilt.measurements[name]];
    if (expected !== actual) throw new EifError("ERR_EIF_MEASUREMENT", { index, expected, actual });
  }
  const [expected, actual] = [manifest.image.sha256, rebuilt.image.sha256];
  if (expected !== actual) throw new EifError("ERR_EIF_REBUILD", { field: "the manifest's SHA-256", expected, actual });
  return rebuilt;
}
