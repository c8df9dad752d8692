/**
 * `cloister eif extract`: takes an image apart into files.
 *
 * @module
 */
import { extractEifFile } from "../../image/eif-extract.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";
import { pcrsOf } from "./eif-text.ts";

const EXTRACT_USAGE = `usage: cloister eif extract FILE FOLDER [--json]

  writes each section into a file of its own, named by number and type; FOLDER must not exist

  example: cloister eif extract app.eif parts`;

export async function eifExtract(args: readonly string[], { print }: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { json: boolean, help: boolean };
  const { values, positionals } = readArguments(args, { options, operands: 2, usage: EXTRACT_USAGE });
  if (values["help"]) {
    print(EXTRACT_USAGE);
    return 0;
  }
  const [path = "", folder = ""] = positionals;
  const { inspection, sections } = await extractEifFile(path, folder);
  if (values["json"]) print(JSON.stringify({ pcrs: pcrsOf(inspection.measurements), sections }));
  else for (const { file, size } of sections) print(`${file} ${size}`);
  return 0;
}
