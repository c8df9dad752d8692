/**
 * `cloister eif measure`: computes the PCRs of an image from its bytes.
 *
 * @module
 */
import { measureEifFile } from "../../image/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";

const MEASURE_USAGE = `usage: cloister eif measure FILE [--json]

  prints PCR0, PCR1 and PCR2 as the Nitro hypervisor will measure them; 96 hex digits each

  example: cloister eif measure app.eif`;

export async function eifMeasure(args: readonly string[], { print }: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { json: boolean, help: boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: MEASURE_USAGE });
  if (values["help"]) {
    print(MEASURE_USAGE);
    return 0;
  }
  const { pcr0, pcr1, pcr2 } = await measureEifFile(positionals[0] ?? "");
  const pcrs = { PCR0: toHex(pcr0), PCR1: toHex(pcr1), PCR2: toHex(pcr2) };
  if (values["json"]) print(JSON.stringify(pcrs));
  else for (const [name, value] of Object.entries(pcrs)) print(`${name} ${value}`);
  return 0;
}
