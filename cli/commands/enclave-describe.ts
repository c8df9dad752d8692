/**
 * `cloister enclave describe`: one enclave.
 *
 * @module
 */
import type { Terminal } from "../terminal.ts";
import { launcherFor, readEnclaveArguments, showEnclave } from "./enclave-launcher.ts";

const DESCRIBE_USAGE = `usage: cloister enclave describe ID --platform nitro|emulated|mock [--json]

  prints one enclave: its state, its address, what its image file measures

  example: cloister enclave describe i-0123456789abcdef0-enc0193a2b4c5d6e7f8 --platform mock`;

export async function enclaveDescribe(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const read = readEnclaveArguments(args, { print, usage: DESCRIBE_USAGE, operands: 1 });
  if (!read) return 0;
  const enclave = await (await launcherFor(read.platform, { tell })).describe(read.positionals[0] ?? "");
  print(showEnclave(enclave, read.values["json"] === true));
  return 0;
}
