/**
 * `cloister data open`: opens a sealed file of any size.
 *
 * The file is read twice: verified first, opened then, so that nothing of it is written before its signature is verified.
 *
 * @module
 */
import { basename } from "node:path";
import { openStream } from "../../shared/envelope/open-stream.ts";
import type { Terminal } from "../terminal.ts";
import { readDataCommand, readPieces, writeWhole } from "./data-access.ts";

const OPEN_USAGE = `usage: cloister data open FILE|- --key ARN --context NAME=VALUE --output FILE [--endpoint URL] [--json]

  opens what cloister data seal, or an AWS Encryption SDK with a signing suite, sealed under this key and context
  --key ARN          the KMS key, by its full ARN
  --context N=V      as it was sealed; may be given again
  --output FILE      appears when all of it is verified, readable by you only; what was there is replaced
  --endpoint URL     in the place of AWS's own, e.g. of cloister aws up

  from standard input at most 64 MiB; credentials are found as the AWS SDK finds them
  exit codes: 3 not a message for this key and context, or changed; 4 KMS refused; 5 KMS not reached

  example: cloister data open flights.sealed --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab --context dataset=flights --output flights.csv`;

export async function dataOpen(args: readonly string[], { print }: Terminal): Promise<number> {
  const command = readDataCommand(args, OPEN_USAGE);
  if (!command) {
    print(OPEN_USAGE);
    return 0;
  }
  const { input, output, keyArn, context, kms, isJson } = command;
  const dataset = basename(input);
  try {
    const source = input === "-" ? process.stdin : () => readPieces(input);
    const stream = openStream(source, { kms, keyArn, context, dataset, suite: "signed" });
    const bytes = await writeWhole(stream, command);
    print(isJson ? JSON.stringify({ output, bytes, keyArn, context }) : `opened: ${output}, ${bytes} bytes`);
    return 0;
  } finally {
    kms.destroy();
  }
}
