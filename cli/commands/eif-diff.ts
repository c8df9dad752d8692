/**
 * `cloister eif diff`: compares two images, and sees what their PCRs do not.
 *
 * @module
 */
import { inspectEifFile } from "../../image/file.ts";
import { diffEif, type EifDiff, type EifDifference, type SectionSummary } from "../../shared/eif/diff.ts";
import { EXIT_CODES } from "../../shared/errors/index.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";

const DIFF_USAGE = `usage: cloister eif diff LEFT RIGHT [--allow-nonstandard] [--json]

  identical    exit 0
  unmeasured   exit 4: what is measured is the same; header defaults, metadata or signature differ
  boundaries   exit 4: the PCRs are equal, yet bytes moved between sections: not the same image
  measured     exit 4: the PCRs differ

  example: cloister eif diff released.eif rebuilt.eif`;

const MEANING: Readonly<Record<EifDiff["verdict"], string>> = {
  identical: "no difference",
  unmeasured: "what is measured is the same; the rest differs",
  boundaries: "PCR0, PCR1 and PCR2 are equal, yet bytes moved between sections: not the same image",
  measured: "the PCRs differ",
};

export async function eifDiff(args: readonly string[], { print }: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { json: boolean, help: boolean, "allow-nonstandard": boolean };
  const { values, positionals } = readArguments(args, { options, operands: 2, usage: DIFF_USAGE });
  if (values["help"]) {
    print(DIFF_USAGE);
    return 0;
  }
  const inspect = { allowNonstandard: values["allow-nonstandard"] === true, eachSection: true };
  const left = await inspectEifFile(positionals[0] ?? "", inspect);
  const diff = diffEif(left, await inspectEifFile(positionals[1] ?? "", inspect));
  print(values["json"] ? JSON.stringify(diff) : toText(diff));
  return diff.verdict === "identical" ? 0 : EXIT_CODES["refused by policy"];
}

function toText({ verdict, differences }: EifDiff): string {
  return [`${verdict}: ${MEANING[verdict]}`, ...differences.flatMap(linesOf)].join("\n");
}

function linesOf(difference: EifDifference): string[] {
  switch (difference.kind) {
    case "pcr":
      return [`PCR${difference.index}`, `- ${difference.left ?? "absent"}`, `+ ${difference.right ?? "absent"}`];
    case "section":
      return [`section ${difference.index}`, `- ${show(difference.left)}`, `+ ${show(difference.right)}`];
    case "header":
      return [`${difference.field} ${difference.left} → ${difference.right}`];
  }
}

function show(section: SectionSummary | undefined): string {
  return section ? `${section.type}, ${section.size} bytes, SHA-384 ${section.sha384}` : "absent";
}
