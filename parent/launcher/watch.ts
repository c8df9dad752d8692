/**
 * Looks whether one enclave still runs, by asking its launcher again and again.
 *
 * Only an answer ends it: that no enclave has this id, or that it does not run. A launcher that can not be asked says
 * nothing about the enclave, and to start another one beside it would be worse.
 *
 * @module
 */
import { isLauncherError, LauncherError } from "../../shared/errors/launcher.ts";
import type { Launcher } from "../../shared/launcher.ts";
import { codeOf } from "../observability/observe.ts";
import { type Clock, orAborted, sleep } from "./clock.ts";
import type { SupervisorEvent } from "./supervision.ts";
import { asError } from "./verdict.ts";

export interface WatchOptions {
  readonly launcher: Launcher;
  readonly pollMs: number;
  readonly clock: Clock;
  /** Ends the watch from outside. */
  readonly signal: AbortSignal;
  readonly log: (event: SupervisorEvent) => void;
}

/** However many signs there are that it is gone, the launcher is not asked more often, in milliseconds. */
const LOOK_GAP_MS = 50;

export class Watch {
  /** Resolves with why it is over: the enclave ended, or somebody ended the watch. */
  readonly ended: Promise<Error>;
  readonly #enclaveId: string;
  readonly #options: WatchOptions;
  readonly #life = new AbortController();
  #wake: () => void = () => undefined;
  #hasSign = false;

  constructor(enclaveId: string, options: WatchOptions) {
    this.#enclaveId = enclaveId;
    this.#options = options;
    const { signal } = options;
    const stop = (): void => this.#life.abort(asError(signal.reason));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    this.ended = this.#run().then((reason) => {
      signal.removeEventListener("abort", stop);
      this.#life.abort(reason);
      return reason;
    });
  }

  /** Why it is over, once it is. */
  get over(): Error | undefined {
    return this.#life.signal.aborted ? asError(this.#life.signal.reason) : undefined;
  }

  look(): void {
    this.#hasSign = true;
    this.#wake();
  }

  close(): void {
    this.#life.abort(new Error("not watched any more"));
  }

  /** Runs `work` until it is done, too late, or the watch is over; its signal aborts with the last two. */
  async during(
    work: (signal: AbortSignal) => Promise<void>,
    { withinMs, late }: { readonly withinMs: number; readonly late: Error },
  ): Promise<void> {
    const attempt = new AbortController();
    const { signal } = this.#life;
    const stop = (): void => attempt.abort(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    const cancel = this.#options.clock.after(withinMs, () => attempt.abort(late));
    try {
      await orAborted(work(attempt.signal), attempt.signal);
    } finally {
      cancel();
      signal.removeEventListener("abort", stop);
    }
  }

  async #run(): Promise<Error> {
    const { signal } = this.#life;
    while (!signal.aborted) {
      await this.#rest();
      if (signal.aborted) break;
      const found = await this.#ask();
      if (found !== undefined && !signal.aborted) {
        return new LauncherError("ERR_LAUNCHER_ENDED", { enclaveId: this.#enclaveId, found });
      }
    }
    return asError(signal.reason);
  }

  async #rest(): Promise<void> {
    const { clock, pollMs } = this.#options;
    const { signal } = this.#life;
    const gapMs = Math.min(LOOK_GAP_MS, pollMs);
    await sleep(gapMs, { clock, signal });
    if (!this.#hasSign) {
      const onWake = (wake: () => void): void => {
        this.#wake = wake;
      };
      await sleep(pollMs - gapMs, { clock, signal, onWake });
    }
    this.#hasSign = false;
  }

  /** What it was found to be if not running. */
  async #ask(): Promise<string | undefined> {
    const { launcher, log } = this.#options;
    const enclaveId = this.#enclaveId;
    try {
      const { state } = await orAborted(launcher.describe(enclaveId), this.#life.signal);
      return state === "running" ? undefined : state;
    } catch (error) {
      if (this.#life.signal.aborted) return undefined;
      if (isLauncherError(error) && error.code === "ERR_LAUNCHER_ENCLAVE_UNKNOWN") return "gone";
      log({ event: "unwatched", enclaveId, code: codeOf(error) });
      return undefined;
    }
  }
}
