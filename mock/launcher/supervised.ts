/**
 * Starts the processes of an emulated enclave one after the other, watches them come up, and ends them.
 *
 *   start   each waits for its sign of life; one that ends before is a failure and is not tried again
 *   late    all are ended and started anew, twice at most: some boots hang in the firmware
 *   end     in the opposite order, politely first
 *
 * Each process has no environment and works in the enclave's folder; what it prints goes to `<name>.log` there.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import { ConsoleSearch, trimConsole } from "./console-file.ts";
import { identify, type ProcessIdentity } from "./process-identity.ts";
import type { ProcessSpec, ReadyCondition } from "./process-spec.ts";

export interface SuperviseOptions {
  /** This enclave's alone. Sockets and consoles in it are removed before each attempt. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Told each time a process was started. */
  readonly onStarted: (identities: readonly ProcessIdentity[]) => void;
  /** Default true: each process leads a group of its own, which no terminal interrupts. */
  readonly isDetached?: boolean;
}

const ATTEMPTS = 3;
const READY_POLL_MS = 25;
const TERM_MS = 2_000;
const TRIM_MS = 1_000;

interface Running {
  readonly spec: ProcessSpec;
  readonly child: ChildProcess;
  readonly console: string;
  readonly ended: Promise<void>;
  readonly identity: ProcessIdentity;
}

export class Supervised {
  readonly #options: SuperviseOptions;
  readonly #running: Running[] = [];
  #retries = 0;
  #trimming: NodeJS.Timeout | undefined;

  private constructor(options: SuperviseOptions) {
    this.#options = options;
  }

  /** @throws {LauncherError} `ERR_LAUNCHER_BOOT`, `ERR_LAUNCHER_HOST`, `ERR_LAUNCHER_TOOL_FAILED`; nothing is left */
  static async start(specs: readonly ProcessSpec[], options: SuperviseOptions): Promise<Supervised> {
    const supervised = new Supervised(options);
    supervised.#trimming = setInterval(() => void supervised.#trim(), TRIM_MS);
    try {
      for (let attempt = 1; ; attempt++) {
        const late = await supervised.#attempt(specs);
        if (late === undefined) return supervised;
        await supervised.#endAll();
        if (attempt === ATTEMPTS) throw new LauncherError("ERR_LAUNCHER_BOOT", { attempts: attempt, waitedFor: late });
        supervised.#retries = attempt;
      }
    } catch (error) {
      await supervised.end();
      throw error;
    }
  }

  get retries(): number {
    return this.#retries;
  }

  get identities(): readonly ProcessIdentity[] {
    return this.#running.map(({ identity }) => identity);
  }

  isRunning(name: string): boolean {
    return isAlive(this.#named(name).child);
  }

  /** Resolves when it has ended. */
  ended(name: string): Promise<void> {
    return this.#named(name).ended;
  }

  /** The file that it prints to. */
  consoleOf(name: string): string {
    return this.#named(name).console;
  }

  async end(): Promise<void> {
    clearInterval(this.#trimming);
    await this.#endAll();
  }

  /** What was waited for in vain; `undefined` when all came up. */
  async #attempt(specs: readonly ProcessSpec[]): Promise<string | undefined> {
    await this.#sweep(specs);
    for (const spec of specs) {
      this.#options.signal.throwIfAborted();
      const running = await this.#spawn(spec);
      for (const condition of spec.ready ?? []) {
        const isMet = await this.#comes(running, condition);
        if (!isMet) return condition.kind === "file" ? `the socket of ${spec.name}` : condition.text;
      }
    }
    return undefined;
  }

  /** Waits until the condition is met; false when it was not in time. */
  async #comes(running: Running, condition: ReadyCondition): Promise<boolean> {
    const deadline = performance.now() + condition.withinMs;
    const look = lookFor(condition, running.console);
    for (;;) {
      this.#options.signal.throwIfAborted();
      if (await look()) return true;
      if (!isAlive(running.child)) throw endedEarly(running);
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  async #spawn(spec: ProcessSpec): Promise<Running> {
    const { folder, onStarted, isDetached = true } = this.#options;
    const console = join(folder, `${spec.name}.log`);
    const output = openSync(console, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
    const child = spawn(spec.file, [...spec.args], {
      cwd: folder,
      env: {},
      detached: isDetached,
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const failure = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      child.once("error", resolve).once("spawn", () => resolve(undefined));
    });
    if (failure || child.pid === undefined) {
      const details = { needs: spec.file, reason: failure?.code ?? "unknown" };
      throw new LauncherError("ERR_LAUNCHER_HOST", details, { cause: failure });
    }
    const running = { spec, child, console, ended, identity: await identify(child.pid) };
    this.#running.push(running);
    onStarted(this.identities);
    return running;
  }

  async #endAll(): Promise<void> {
    for (;;) {
      const running = this.#running.at(-1);
      if (!running) break;
      await endOne(running);
      this.#running.pop();
    }
    this.#options.onStarted([]);
  }

  /** What an earlier attempt left would pass for a sign of life, and a socket's path can not be bound twice. */
  async #sweep(specs: readonly ProcessSpec[]): Promise<void> {
    const { folder } = this.#options;
    for (const { name } of specs) await rm(join(folder, `${name}.log`), { force: true });
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      if ((await lstat(path)).isSocket()) await rm(path, { force: true });
    }
  }

  async #trim(): Promise<void> {
    // A file that can not be looked at now is looked at a second later.
    await Promise.allSettled(this.#running.map(({ console }) => trimConsole(console)));
  }

  #named(name: string): Running {
    const running = this.#running.find(({ spec }) => spec.name === name);
    if (!running) throw new TypeError(`no process is named ${name}`);
    return running;
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** Looks again each time it is called, and says whether the condition is met. */
function lookFor(condition: ReadyCondition, console: string): () => Promise<boolean> {
  if (condition.kind === "console") {
    const search = new ConsoleSearch(console, condition.text);
    return () => search.next();
  }
  return async () => {
    try {
      await lstat(condition.path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  };
}

function endedEarly({ spec, child }: Running): LauncherError {
  const reason = child.exitCode === null ? `signal ${child.signalCode}` : `exit code ${child.exitCode}`;
  return new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool: spec.name, reason });
}

/** The child is ours and has not been waited for, so its number is still its own. */
async function endOne({ child, ended }: Running): Promise<void> {
  if (!isAlive(child) || child.pid === undefined) return;
  const { pid } = child;
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal);
    } catch (error) {
      // It leads no group any more, or has just ended.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      child.kill(signal);
    }
  };
  signalGroup("SIGTERM");
  const timer = setTimeout(() => {
    if (isAlive(child)) signalGroup("SIGKILL");
  }, TERM_MS);
  await ended;
  clearTimeout(timer);
}
