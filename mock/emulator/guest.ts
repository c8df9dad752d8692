/**
 * Runs one guest: starts QEMU, watches it boot, keeps its console.
 *
 * Under software emulation a few boots in a hundred stop in firmware, before the kernel's first line. Such a boot is
 * ended and begun again, at most twice, and counted.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Command } from "./commands.ts";

export interface GuestOptions {
  readonly command: Command;
  /** Counts as booted when its console has said so. */
  readonly booted: RegExp;
  /** How long the kernel's first line may take, in milliseconds. Default 20 000. */
  readonly firstLineMs?: number;
  /** How long the whole boot may take, in milliseconds. Default 120 000. */
  readonly bootMs?: number;
}

/** How a boot ended that did not come about. */
export class BootError extends Error {
  override readonly name = "BootError";
  readonly console: string;
  constructor(reason: string, console: string) {
    super(`the guest did not boot: ${reason}`);
    this.console = console;
  }
}

const ATTEMPTS = 3;
const CONSOLE_MAX = 4 * 1024 * 1024;
const KERNEL_LINE = /^\[ *\d+\.\d{6}\]/m;

export class Guest implements AsyncDisposable {
  /** How many boots were ended and begun again. */
  readonly retries: number;
  readonly #child: ChildProcess;
  readonly #console: Console;
  readonly #ended: Promise<number | null>;

  private constructor(child: ChildProcess, console: Console, retries: number) {
    this.#child = child;
    this.#console = console;
    this.retries = retries;
    this.#ended = endOf(child);
  }

  /** @throws {BootError} it did not boot in three attempts */
  static async boot(options: GuestOptions): Promise<Guest> {
    const { command, booted, firstLineMs = 20_000, bootMs = 120_000 } = options;
    for (let attempt = 1; ; attempt++) {
      const child = spawn(command.file, command.args, { stdio: ["ignore", "pipe", "pipe"] });
      const console = new Console(child);
      const ended = endOf(child).then((code) => `QEMU ended with ${code}`);
      const first = await console.says(KERNEL_LINE, { within: firstLineMs, unless: ended });
      const reason = first ?? (await console.says(booted, { within: bootMs, unless: ended }));
      if (reason === undefined) return new Guest(child, console, attempt - 1);
      child.kill("SIGKILL");
      await endOf(child);
      if (attempt === ATTEMPTS || reason.startsWith("QEMU")) throw new BootError(reason, console.text);
    }
  }

  /** What it has written, the last 4 MiB at most. */
  get console(): string {
    return this.#console.text;
  }

  /** Resolves with QEMU's exit code when the guest has switched itself off. */
  get ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Resolves when the console has said so. @throws {BootError} it has not in time, or the guest has ended */
  async says(pattern: RegExp, within: number): Promise<void> {
    const ended = this.#ended.then((code) => `QEMU ended with ${code}`);
    const reason = await this.#console.says(pattern, { within, unless: ended });
    if (reason !== undefined) throw new BootError(reason, this.#console.text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.once("close", resolve);
    child.once("error", () => resolve(null));
  });
}

interface Expectation {
  readonly within: number;
  readonly unless: Promise<string>;
}

class Console {
  #text = "";
  readonly #waiting = new Set<() => void>();

  constructor({ stdout, stderr }: ChildProcess) {
    for (const stream of [stdout, stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#text = (this.#text + text).slice(-CONSOLE_MAX);
        for (const look of this.#waiting) look();
      });
    }
  }

  get text(): string {
    return this.#text;
  }

  /** `undefined` when it said so, otherwise why it did not. */
  async says(pattern: RegExp, { within, unless }: Expectation): Promise<string | undefined> {
    let look: () => void = () => {};
    let timer: NodeJS.Timeout | undefined;
    const said = new Promise<string | undefined>((resolve) => {
      look = () => {
        if (pattern.test(this.#text)) resolve(undefined);
      };
      this.#waiting.add(look);
      timer = setTimeout(() => resolve(`no ${pattern.source} in ${within} ms`), within);
      look();
    });
    try {
      return await Promise.race([said, unless]);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}
