/**
 * `cloister attest challenge`: a fresh nonce to ask an enclave with.
 *
 * @module
 */
import { toHex } from "../../shared/bytes.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";

const CHALLENGE_USAGE = `usage: cloister attest challenge

  prints 32 random bytes in hex: the nonce to send to an enclave, and to write into the policy that judges its answer

  example: cloister attest challenge`;

export async function attestChallenge(args: readonly string[], { print }: Terminal): Promise<number> {
  const { values } = readArguments(args, {
    options: { help: { type: "boolean" } },
    operands: 0,
    usage: CHALLENGE_USAGE,
  });
  print(values["help"] ? CHALLENGE_USAGE : toHex(crypto.getRandomValues(new Uint8Array(32))));
  return 0;
}
