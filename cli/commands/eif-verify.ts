/**
 * `cloister eif verify`: decides whether an image is the expected one.
 *
 * @module
 */
import { inspectEifFile } from "../../image/file.ts";
import { appraiseEif, expectedImageFromJson } from "../../shared/eif/expected.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { readArguments, readJson } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { pcrsOf, signatureState, tellFindings } from "./eif-text.ts";

const VERIFY_USAGE = `usage: cloister eif verify FILE --measurements EXPECTED.json [--at TIME] [--json]

  demands a standard layout, equal PCR0, PCR1 and PCR2, PCR8 where EXPECTED.json has one, and a valid signature where
  the image has one; with "Sections" in EXPECTED.json the section table too, which PCRs do not cover
  --measurements FILE   what "nitro-cli build-enclave" or "cloister eif measure --json" printed
  --at TIME             judge the signing certificate at this moment (ISO 8601 with zone) instead of now

  example: cloister eif verify app.eif --measurements expected.json`;

export async function eifVerify(args: readonly string[], terminal: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = { measurements: string, at: string, json: boolean, help: boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: VERIFY_USAGE });
  const { print, tell } = terminal;
  if (values["help"]) {
    print(VERIFY_USAGE);
    return 0;
  }
  const { measurements, at } = values;
  if (typeof measurements !== "string") throw new UsageError("--measurements is missing", VERIFY_USAGE);
  const now = typeof at === "string" ? readTime(at) : new Date();
  const expected = expectedImageFromJson(await readJson(measurements));
  try {
    const image = await inspectEifFile(positionals[0] ?? "");
    appraiseEif(image, expected, { now });
    const sectionTable = expected.sections ? "verified" : "unchecked";
    const result = { verified: true, pcrs: pcrsOf(image.measurements), signature: signatureState(image), sectionTable };
    tellFindings(image.findings, terminal);
    if (!expected.sections)
      tell('cloister: hint: no "Sections" are expected: PCRs do not see bytes that moved between them');
    print(values["json"] ? JSON.stringify(result) : toText(result));
    return 0;
  } catch (error) {
    if (values["json"] && isToolkitError(error)) print(JSON.stringify({ verified: false, ...error.toJSON() }));
    throw error;
  }
}

function readTime(text: string): Date {
  const time = new Date(text);
  const isFull = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:\d{2})$/.test(text);
  if (isFull && !Number.isNaN(time.getTime())) return time;
  throw new UsageError("--at is a time with its zone, such as 2026-01-31T12:00:00Z", VERIFY_USAGE);
}

function toText({
  pcrs,
  signature,
  sectionTable,
}: {
  readonly pcrs: Readonly<Record<string, string>>;
  readonly signature: string;
  readonly sectionTable: string;
}): string {
  const lines = Object.entries(pcrs).map(([name, value]) => `${name} ${value}`);
  return [`verified: signature ${signature}, section table ${sectionTable}`, ...lines].join("\n");
}
