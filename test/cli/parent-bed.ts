/** Commands that run until they are told to stop, as their users start them. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The events of standard error, a JSON object a line. */
  readonly events: () => readonly Readonly<Record<string, unknown>>[];
  /** Resolves when standard error has it, or the process has ended. */
  readonly says: (text: string | RegExp, times?: number) => Promise<void>;
  /** Resolves with the exit code, or the name of the signal. */
  readonly ended: Promise<number | string | null>;
}

/** A folder of this test alone whose path is short: sockets below it have 107 bytes. */
export function shortFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cl-"));
  chmodSync(folder, 0o700);
  return folder;
}

export function file(folder: string, name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

export function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, NOTIFY_SOCKET: "", ...env } });
  const output = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  const ended = new Promise<number | string | null>((done) => {
    child.once("close", (code, signal) => done(code ?? signal));
  });
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => {
    output.stderr += chunk.toString();
    for (const look of waiting) look();
  });
  const says = async (text: string | RegExp, times = 1): Promise<void> => {
    const count = (): number => output.stderr.split(text).length - 1;
    const said = new Promise<void>((resolve) => {
      const look = (): void => {
        if (count() >= times) resolve();
      };
      waiting.add(look);
      look();
    });
    await Promise.race([said, ended]);
    if (count() < times) throw new Error(`it ended without saying ${text}: ${output.stderr}`);
  };
  const events = (): readonly Readonly<Record<string, unknown>>[] =>
    output.stderr
      .split("\n")
      .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Record<string, unknown>] : []));
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, events, says, ended };
}
