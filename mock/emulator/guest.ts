/**
 * One guest of an emulated instance: a QEMU that was watched until it was up, and what its console says.
 *
 * How it is started, watched, and begun again where the firmware hung is the same as for an enclave that a launcher runs
 * (`mock/launcher/supervised.ts`); here somebody waits for more lines.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { FIRST_LINE_MS } from "../launcher/process-spec.ts";
import { Supervised } from "../launcher/supervised.ts";
import type { Command } from "./commands.ts";

export interface GuestOptions {
  readonly command: Command;
  /** For its console; of this guest alone. */
  readonly folder: string;
  /** Counts as booted when its console has said so. */
  readonly booted: string;
  /** How long the kernel's first line may take, in milliseconds. Default 20 000. */
  readonly firstLineMs?: number;
  /** How long the whole boot may take, in milliseconds. Default 120 000. */
  readonly bootMs?: number;
}

/** How a boot ended that did not come about. */
export class BootError extends Error {
  override readonly name = "BootError";
  readonly console: string;
  constructor(reason: string, console: string, options?: ErrorOptions) {
    super(`the guest did not boot: ${reason}`, options);
    this.console = console;
  }
}

const NAME = "guest";
const BOOT_MS = 120_000;
const CONSOLE_MAX = 4 * 1024 * 1024;
const LOOK_MS = 25;

export class Guest implements AsyncDisposable {
  /** How many boots were ended and begun again. */
  readonly retries: number;
  readonly #supervised: Supervised;

  private constructor(supervised: Supervised) {
    this.#supervised = supervised;
    this.retries = supervised.retries;
  }

  /** @throws {BootError} it did not boot in three attempts */
  static async boot(options: GuestOptions): Promise<Guest> {
    const { command, folder, booted, firstLineMs = FIRST_LINE_MS, bootMs = BOOT_MS } = options;
    const ready = [
      { kind: "console", text: "Linux version ", withinMs: firstLineMs },
      { kind: "console", text: booted, withinMs: bootMs },
    ] as const;
    const { signal } = new AbortController();
    try {
      const spec = { name: NAME, ...command, ready };
      // Of whoever started it: what interrupts a test in a terminal ends its guests too.
      return new Guest(await Supervised.start([spec], { folder, signal, onStarted: () => {}, isDetached: false }));
    } catch (cause) {
      throw new BootError((cause as Error).message, textOf(join(folder, `${NAME}.log`)), { cause });
    }
  }

  /** What it has written, the last 4 MiB at most. */
  get console(): string {
    return textOf(this.#supervised.consoleOf(NAME));
  }

  /** Resolves when the guest has switched itself off. */
  get ended(): Promise<void> {
    return this.#supervised.ended(NAME);
  }

  /** Resolves when the console has said so. @throws {BootError} it has not in time, or the guest has ended */
  async says(pattern: RegExp, within: number): Promise<void> {
    const deadline = performance.now() + within;
    for (;;) {
      // Asked first: what it says last is read after.
      const isRunning = this.#supervised.isRunning(NAME);
      const { console } = this;
      if (pattern.test(console)) return;
      if (!isRunning) throw new BootError("QEMU ended", console);
      if (performance.now() > deadline) throw new BootError(`no ${pattern.source} in ${within} ms`, console);
      await wait(LOOK_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#supervised.end();
  }
}

function textOf(path: string): string {
  return readFileSync(path, "utf8").slice(-CONSOLE_MAX);
}
