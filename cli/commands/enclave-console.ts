/**
 * `cloister enclave console`: what an enclave in debug mode writes.
 *
 * @module
 */
import { once } from "node:events";
import type { Terminal } from "../terminal.ts";
import { launcherFor, readEnclaveArguments } from "./enclave-launcher.ts";

const CONSOLE_USAGE = `usage: cloister enclave console ID --platform nitro|emulated|mock

  prints what the enclave writes, as it is, until the enclave ends; on mock what it has written so far
  only an enclave that was run with --dangerously-run-in-debug-mode has a console

  example: cloister enclave console i-0123456789abcdef0-enc0193a2b4c5d6e7f8 --platform mock`;

export async function enclaveConsole(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const read = readEnclaveArguments(args, { print, usage: CONSOLE_USAGE, operands: 1 });
  if (!read) return 0;
  const console = (await launcherFor(read.platform, { tell })).console(read.positionals[0] ?? "");
  for await (const bytes of console) {
    if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
  }
  return 0;
}
