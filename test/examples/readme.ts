/**
 * Runs an example as its README says: its own command, in its own folder.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
/** Where `make aws-clients` puts programs. */
const CLIENTS = join(cache, "cloister", "aws-clients", "bin");

export interface Told {
  readonly code: number | null;
  readonly text: string;
  readonly held: number;
  readonly steps: number;
}

/** The one command of an example's README. */
export function commandOf(example: string): string {
  const commands = readFileSync(join(examples, example, "README.md"), "utf8").match(/(?<=^ {4})node .+$/gm) ?? [];
  const [command] = commands;
  if (command === undefined || commands.length > 1) throw new Error(`${commands.length} commands in the README`);
  return command;
}

/** Runs it with these arguments more. */
export async function tell(example: string, args = ""): Promise<Told> {
  const child = spawn("sh", ["-c", `exec ${commandOf(example)} ${args}`], {
    cwd: join(examples, example),
    env: { ...process.env, PATH: `${CLIENTS}:${process.env["PATH"] ?? ""}` },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const [, held = "0", steps = "0"] = /^(\d+) of (\d+) held$/m.exec(text) ?? [];
  return { code, text, held: Number(held), steps: Number(steps) };
}

/** Lines of what goes into the enclave, by the application's entry. */
export function linesOf(example: string, file = "app.ts"): number {
  return readFileSync(join(examples, example, file), "utf8")
    .trimEnd()
    .split("\n").length;
}

/** Where the programs of Debian's `postgresql` are. */
export function hasPostgresql(): boolean {
  const folder = "/usr/lib/postgresql";
  return existsSync(folder) && readdirSync(folder).some((version) => existsSync(join(folder, version, "bin/initdb")));
}

export function hasMoto(): boolean {
  const folders = [CLIENTS, ...(process.env["PATH"] ?? "").split(":")];
  return folders.some((folder) => existsSync(join(folder, "moto_server")));
}
