/**
 * Runs `nitro-cli`, one command at a time: arguments as a list, no shell, bounded output, a deadline.
 *
 *   not there, or not executable   ERR_LAUNCHER_HOST: only somebody who changes the host can help
 *   not started all the same       ERR_LAUNCHER_TOOL_FAILED with the system's name, such as EMFILE: it may pass
 *   too late                       killed, ERR_LAUNCHER_TIMEOUT, whoever holds its pipes still
 *   an exit code                   ERR_LAUNCHER_TOOL_FAILED with its own code, such as E26
 *
 * Its messages are not passed on: they hold paths and more than one line. Its codes are documented by AWS.
 *
 * Source: aws-nitro-enclaves-cli, `docs/` and `src/common/document_errors.rs` ("[ E26 ] …" on standard error).
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { LauncherError } from "../../shared/errors/launcher.ts";

export interface NitroCliOptions {
  /** The executable, a name that is looked up or a path. */
  readonly file: string;
  /** The whole environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const OUTPUT_MAX = 1024 * 1024;
const KILL_AFTER_MS = 2_000;
/** How long the output is read on after the command ended: a process that it left may hold the pipes for ever. */
const DRAIN_MS = 1_000;
/** What only somebody who changes the host can help. Anything else, such as EMFILE, may have passed the next time. */
const NOT_THERE: ReadonlySet<string> = new Set(["ENOENT", "EACCES", "ENOTDIR"]);

/** Runs a command to its end and gives its standard output. */
export async function runNitroCli(args: readonly string[], options: NitroCliOptions): Promise<string> {
  const { timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const tool = toolName(args);
  const child = start(args, options);
  let fault: unknown;
  let giveUp: (reason: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const stop = (reason: unknown): void => {
    fault ??= reason;
    end(child);
    child.stdout?.destroy();
    child.stderr?.destroy();
    // The kernel may not let it go, such as while it clears memory.
    setTimeout(() => giveUp(fault), 2 * KILL_AFTER_MS).unref();
  };
  const late = new LauncherError("ERR_LAUNCHER_TIMEOUT", { tool, timeoutMs });
  const timer = setTimeout(() => stop(late), timeoutMs);
  const onAbort = (): void => stop(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const tooMuch = new LauncherError("ERR_LAUNCHER_TOOL_ANSWER", { tool, rule: `at most ${OUTPUT_MAX} bytes` });
  const stdout = collect(child.stdout, () => stop(tooMuch));
  const stderr = collect(child.stderr, () => stop(tooMuch));
  try {
    const code = await Promise.race([exitOf(child, { tool, file: options.file }), stopped]);
    if (fault !== undefined) throw fault;
    if (code !== 0) throw failed(tool, { code, stderr: stderr() });
    return stdout();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

/** Runs a command and gives its standard output as it comes; leaving the loop ends the command. */
export async function* streamNitroCli(
  args: readonly string[],
  options: Omit<NitroCliOptions, "timeoutMs">,
): AsyncGenerator<Uint8Array, void> {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = start(args, options);
  const onAbort = (): void => {
    end(child);
    child.stdout?.destroy();
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  const stderr = collect(child.stderr, () => end(child));
  const exit = exitOf(child, { tool: toolName(args), file: options.file });
  exit.catch(() => undefined); // awaited below, after the output
  try {
    for await (const chunk of child.stdout ?? []) yield new Uint8Array(chunk as Buffer);
    const code = await exit;
    if (code !== 0 && !signal?.aborted) throw failed(toolName(args), { code, stderr: stderr() });
  } catch (error) {
    // Its pipe was closed under the reading.
    if (!signal?.aborted) throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    end(child);
    child.stderr?.destroy();
  }
}

function start(args: readonly string[], { file, env }: Pick<NitroCliOptions, "file" | "env">): ChildProcess {
  try {
    return spawn(file, [...args], { env: { ...env }, stdio: ["ignore", "pipe", "pipe"], shell: false });
  } catch (cause) {
    // Node throws some of the system's errors, such as ENOTDIR, and tells others by an event.
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw notStarted(cause as NodeJS.ErrnoException, { tool: toolName(args), file });
  }
}

interface Command {
  readonly tool: string;
  readonly file: string;
}

function notStarted(cause: NodeJS.ErrnoException, { tool, file }: Command): LauncherError {
  const reason = cause.code ?? "unknown";
  if (NOT_THERE.has(reason)) return new LauncherError("ERR_LAUNCHER_HOST", { needs: file, reason }, { cause });
  return new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool, reason }, { cause });
}

/** Politely, then not. */
function end(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
}

async function exitOf(child: ChildProcess, command: Command): Promise<number | null> {
  return new Promise<number | null>((resolve, reject) => {
    child.once("close", resolve);
    child.once("exit", (code) => {
      const timer = setTimeout(() => resolve(code), DRAIN_MS);
      child.once("close", () => clearTimeout(timer));
    });
    child.once("error", (cause: NodeJS.ErrnoException) => reject(notStarted(cause, command)));
  });
}

function collect(output: ChildProcess["stdout"], onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  output?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > OUTPUT_MAX) onTooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function failed(tool: string, end: { readonly code: number | null; readonly stderr: string }): LauncherError {
  const documented = /\[ (E[0-9]{2}) \]/.exec(end.stderr)?.[1];
  const reason = documented ?? (end.code === null ? "a signal" : `exit code ${end.code}`);
  return new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool, reason });
}

function toolName(args: readonly string[]): string {
  return `nitro-cli ${args[0] ?? ""}`;
}
