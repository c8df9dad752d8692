/**
 * `cloister aws seed`: adds what a seed file names to a running mock AWS.
 *
 * @module
 */
import type { SeedOutcome } from "../../mock/aws/index.ts";
import { readSeedFile } from "../../mock/aws/seed-file.ts";
import type { Terminal } from "../terminal.ts";
import { askingAws, CONTROL_OPTION } from "./aws-control.ts";

const SEED_USAGE = `usage: cloister aws seed FILE.json [--control SOCKET] [--json]

  adds accounts, keys, attestation roots and quotas; what is there already stays as it is, and so does what is not named
  the form is schemas/mock-aws-seed.json
  --json             with the ARNs of the keys and the credentials, those that were generated among them
${CONTROL_OPTION}

  example: cloister aws seed team.json`;

export function awsSeed(args: readonly string[], { print }: Terminal): Promise<number> {
  const command = { usage: SEED_USAGE, operands: 1 };
  return askingAws(args, { command, print }, async ({ values, positionals }, ask) => {
    const seed = await readSeedFile(positionals[0] ?? "");
    const outcome = await ask<SeedOutcome>("seed", { seed });
    const { changes, keys } = outcome;
    if (values["json"]) print(JSON.stringify({ trust: "mock", ...outcome }));
    else {
      for (const change of changes.length > 0 ? changes : ["nothing to do"]) print(change);
      for (const [name, arn] of Object.entries(keys)) print(`${name}  ${arn}`);
    }
    return 0;
  });
}
