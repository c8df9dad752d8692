/**
 * `cloister enclave list`: the enclaves of a platform on this host.
 *
 * @module
 */
import type { Terminal } from "../terminal.ts";
import { launcherFor, readEnclaveArguments, showEnclave } from "./enclave-launcher.ts";

const LIST_USAGE = `usage: cloister enclave list --platform nitro|emulated|mock [--json]

  prints the enclaves of this platform; --json prints a list

  example: cloister enclave list --platform mock`;

export async function enclaveList(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const read = readEnclaveArguments(args, { print, usage: LIST_USAGE, operands: 0 });
  if (!read) return 0;
  const enclaves = await (await launcherFor(read.platform, { tell })).list();
  if (read.values["json"]) print(JSON.stringify(enclaves));
  else for (const enclave of enclaves) print(showEnclave(enclave, false));
  return 0;
}
