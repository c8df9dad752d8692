/**
 * The OpenSSL command line, as the other party that these tests talk to.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Runs one command in a folder that holds `files`; what it writes to the file `out` is the answer, or its output.
 * A status other than 0 throws.
 */
export function openssl(command: string, files: Readonly<Record<string, Uint8Array>> = {}): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "cloister-openssl-"));
  try {
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
    const stdio = ["ignore", "pipe", "pipe"] as const;
    const output = execFileSync("openssl", command.split(" "), { cwd: folder, stdio: [...stdio] });
    return new Uint8Array(/ out( |$)/.test(command) ? readFileSync(join(folder, "out")) : output);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What an AwsFault says, or `accepted`. */
export function verdict(call: () => unknown): string {
  try {
    call();
    return "accepted";
  } catch (error) {
    if (error instanceof Error && "error" in error && typeof error.error === "string") return error.error;
    throw error;
  }
}
