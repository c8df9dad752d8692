/**
 * `cloister enclave console`: what an enclave in debug mode writes.
 *
 * @module
 */
import { once } from "node:events";
import type { Terminal } from "../terminal.ts";
import { launcherFor, readEnclaveArguments } from "./enclave-launcher.ts";

const CONSOLE_USAGE = `usage: cloister enclave console ID --platform nitro|emulated|mock

  prints what the enclave writes until the enclave ends; on mock what it has written so far
  as it is into a file or a pipe; on a terminal control characters are shown, not obeyed
  only an enclave that was run with --dangerously-run-in-debug-mode has a console

  example: cloister enclave console i-0123456789abcdef0-enc0193a2b4c5d6e7f8 --platform mock`;

export async function enclaveConsole(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const read = readEnclaveArguments(args, { print, usage: CONSOLE_USAGE, operands: 1 });
  if (!read) return 0;
  const console = (await launcherFor(read.platform, { tell })).console(read.positionals[0] ?? "");
  for await (const bytes of process.stdout.isTTY ? printable(console) : console) {
    if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
  }
  return 0;
}

/** Text in which nothing moves the cursor, hides what was said or makes the terminal answer. */
export async function* printable(console: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  for await (const bytes of console) yield escaped(decoder.decode(bytes, { stream: true }));
  yield escaped(decoder.decode());
}

function escaped(text: string): string {
  // A serial console ends its lines with both; across two parts the first of them is shown.
  const lines = text.replaceAll("\r\n", "\n");
  return lines.replace(/[^\P{Cc}\n\t]/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
