/**
 * Runs what `npm run build` made: commands and processes are tested as users start them.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  /** Stops reading the output before it comes. */
  readonly closeStdout?: boolean;
}

/** Runs `cloister` with these arguments; the environment is this process's with `env` laid over it. */
export async function cloister(
  args: readonly string[],
  { stdin = "", env = {}, closeStdout = false }: RunOptions = {},
): Promise<Ran> {
  if (!existsSync(main)) throw new Error("dist/ is missing: run `npm run build`, or `make test`, which does");
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env } });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  if (closeStdout) child.stdout.destroy();
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, ...output };
}
