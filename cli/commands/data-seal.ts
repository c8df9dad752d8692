/**
 * `cloister data seal`: seals a file of any size under a KMS key.
 *
 * @module
 */
import { sealStream } from "../../shared/envelope/seal-stream.ts";
import type { Terminal } from "../terminal.ts";
import { readDataCommand, readPieces, writeWhole } from "./data-access.ts";

const SEAL_USAGE = `usage: cloister data seal FILE|- --key ARN --context NAME=VALUE --output FILE [--endpoint URL] [--json]

  seals a file in the AWS Encryption SDK message format: key commitment, signature, bound to the context
  --key ARN          the KMS key, by its full ARN; its Region is asked
  --context N=V      bound to the message in clear, and demanded when it is opened; may be given again
  --output FILE      appears when it is whole; what was there is replaced
  --endpoint URL     in the place of AWS's own, e.g. of cloister aws up

  credentials are found as the AWS SDK finds them

  example: cloister data seal flights.csv --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab --context dataset=flights --output flights.sealed`;

export async function dataSeal(args: readonly string[], { print }: Terminal): Promise<number> {
  const command = readDataCommand(args, SEAL_USAGE);
  if (!command) {
    print(SEAL_USAGE);
    return 0;
  }
  const { input, output, keyArn, context, kms, isJson } = command;
  try {
    const source = input === "-" ? process.stdin : readPieces(input);
    const bytes = await writeWhole(sealStream(source, { kms, keyArn, context, suite: "signed" }), command);
    print(isJson ? JSON.stringify({ output, bytes, keyArn, context }) : `sealed: ${output}, ${bytes} bytes`);
    return 0;
  } finally {
    kms.destroy();
  }
}
