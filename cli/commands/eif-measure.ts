/**
 * `cloister eif measure`: computes the PCRs of an image from its bytes.
 *
 * @module
 */
import { inspectEifFile } from "../../image/file.ts";
import { measuredSections } from "../../shared/eif/expected.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";
import { measurementsJson, pcrsOf, tellFindings } from "./eif-text.ts";

const MEASURE_USAGE = `usage: cloister eif measure FILE [--allow-nonstandard] [--json]

  prints PCR0, PCR1 and PCR2 as the Nitro hypervisor will measure them, PCR8 where the image is signed; 96 hex digits each
  --json                what nitro-cli prints, and the section table: an input of "eif verify --measurements"
  --allow-nonstandard   measures what the strict reader refuses, as AWS's reader would; what is wrong goes to stderr

  example: cloister eif measure app.eif --json > expected.json`;

export async function eifMeasure(args: readonly string[], terminal: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { json: boolean, help: boolean, "allow-nonstandard": boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: MEASURE_USAGE });
  const { print } = terminal;
  if (values["help"]) {
    print(MEASURE_USAGE);
    return 0;
  }
  const allowNonstandard = values["allow-nonstandard"] === true;
  const image = await inspectEifFile(positionals[0] ?? "", { allowNonstandard });
  tellFindings(
    image.findings.filter(({ severity }) => severity === "error"),
    terminal,
  );
  const { measurements } = image;
  if (values["json"]) {
    print(JSON.stringify({ Measurements: measurementsJson(measurements), Sections: measuredSections(image.sections) }));
  } else for (const [name, value] of Object.entries(pcrsOf(measurements))) print(`${name} ${value}`);
  return 0;
}
