/**
 * `cloister enclave terminate`: ends an enclave.
 *
 * @module
 */
import type { Terminal } from "../terminal.ts";
import { launcherFor, readEnclaveArguments } from "./enclave-launcher.ts";

const TERMINATE_USAGE = `usage: cloister enclave terminate ID --platform nitro|emulated|mock [--json]

  ends the enclave; what was in its memory is gone

  example: cloister enclave terminate i-0123456789abcdef0-enc0193a2b4c5d6e7f8 --platform mock`;

export async function enclaveTerminate(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const read = readEnclaveArguments(args, { print, usage: TERMINATE_USAGE, operands: 1 });
  if (!read) return 0;
  const [enclaveId = ""] = read.positionals;
  await (await launcherFor(read.platform, { tell })).terminate(enclaveId);
  const trust = read.platform === "nitro" ? "aws" : "mock";
  print(read.values["json"] ? JSON.stringify({ enclaveId, terminated: true, trust }) : `terminated ${enclaveId}`);
  return 0;
}
