/**
 * Keeps one enclave running, over any launcher.
 *
 *   0. hold     nobody else keeps the one of this record                    otherwise refused
 *   1. check    the image is the expected one, with memory enough           otherwise refused, for good
 *   2. obtain   the one that this name left running, or a new one
 *   3. ready    told of it, waited for
 *   4. watch    until the launcher says that it ended
 *   5. clear    told of it, and whatever is left is terminated
 *   6. wait     back-off with full jitter; after too many failures in a row it gives up, and says so
 *
 * There is never a second enclave beside the first: what could not be terminated is tried again before the next start.
 * Nothing that fails here is thrown after `start`: it is a state, and the parent's services go on.
 *
 * @module
 */
import type { EnclaveDescription, LaunchOptions } from "../../shared/launcher.ts";
import { type Backoff, backoffMs, readBackoff } from "./backoff.ts";
import { type Clock, SYSTEM_CLOCK, sleep } from "./clock.ts";
import { checkImage } from "./image.ts";
import { Ownership } from "./ownership.ts";
import { untilReady } from "./readiness.ts";
import type { Supervisor, SupervisorEvent, SupervisorOptions, SupervisorState } from "./supervision.ts";
import { asError, codesOf, isFinal, notReady } from "./verdict.ts";
import { Watch } from "./watch.ts";

const POLL_MS = 1_000;

/**
 * @throws {RangeError} a back-off that is none
 *
 * @example
 * ```ts
 * const supervisor = createSupervisor({
 *   launcher: createNitroLauncher({ env }),
 *   launch: { eifPath: "app.eif", cpuCount: 2, debug: false },
 *   inspect: inspectEifFile,
 *   expected: expectedImageFromJson(JSON.parse(measurements)),
 *   onUp: ({ peer }) => ingress.setTargets([addressOf(peer, APP_PORT)]),
 *   onDown: () => ingress.setTargets([]),
 *   log: (event) => console.error(JSON.stringify(event)),
 * });
 * await supervisor.start();
 * ```
 */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  return new EnclaveSupervisor(options);
}

/** How an enclave's life went. */
interface Life {
  readonly error: Error;
  readonly upMs: number;
}

class EnclaveSupervisor implements Supervisor {
  readonly #options: SupervisorOptions;
  readonly #backoff: Backoff;
  readonly #clock: Clock;
  readonly #owned: Ownership;
  #state: SupervisorState = { kind: "idle" };
  #session: AbortController | undefined;
  #keeping: Promise<void> = Promise.resolve();
  #halting: Promise<void> | undefined;
  #how: "stopped" | "released" = "stopped";
  #watch: Watch | undefined;
  #failures = 0;
  #starts = 0;

  constructor(options: SupervisorOptions) {
    const { launcher, record, clock = SYSTEM_CLOCK, log } = options;
    this.#options = options;
    this.#backoff = readBackoff(options.backoff);
    this.#clock = clock;
    this.#owned = new Ownership({ launcher, record, clock, log });
  }

  async start(): Promise<void> {
    if (this.#session) throw new TypeError("this supervisor keeps an enclave already");
    const session = new AbortController();
    this.#session = session;
    this.#failures = 0;
    this.#state = { kind: "starting", failures: 0 };
    const begun = this.#begin(session.signal);
    this.#keeping = begun.then(
      (launch) => this.#keep(launch, session.signal),
      () => undefined, // thrown below
    );
    try {
      await begun;
    } catch (error) {
      if (this.#session === session) this.#session = undefined;
      if (!session.signal.aborted) this.#settle("refused", asError(error));
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#halt("stopped");
  }

  release(): Promise<void> {
    return this.#halt("released");
  }

  look(): void {
    this.#watch?.look();
  }

  state(): SupervisorState {
    return this.#state;
  }

  starts(): number {
    return this.#starts;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Whoever asks that the enclave ends is heard, also while another asked to leave it. */
  #halt(how: "stopped" | "released"): Promise<void> {
    if (this.#halting === undefined || how === "stopped") this.#how = how;
    this.#session?.abort(new DOMException(`the supervisor was ${how}`, "AbortError"));
    this.#halting ??= (async () => {
      try {
        await this.#keeping;
        if (this.#how === "stopped") await this.#owned.end();
        else this.#owned.forget();
        await this.#owned.letGo();
        this.#state = { kind: "stopped" };
        this.#options.log({ event: "stopped" });
      } finally {
        this.#session = undefined;
        this.#halting = undefined;
      }
    })();
    return this.#halting;
  }

  async #begin(signal: AbortSignal): Promise<LaunchOptions> {
    await this.#owned.hold();
    try {
      const launch = await this.#check();
      signal.throwIfAborted();
      return launch;
    } catch (error) {
      await this.#owned.letGo();
      throw error;
    }
  }

  /** One enclave after the other. Never rejects. */
  async #keep(first: LaunchOptions, signal: AbortSignal): Promise<void> {
    for (let launch: LaunchOptions | undefined = first; ; launch = undefined) {
      const { error, upMs } = await this.#life(launch, signal);
      if (signal.aborted) return;
      this.#failures = upMs >= this.#backoff.stableMs ? 1 : this.#failures + 1;
      if (isFinal(error)) return this.#giveUp("refused", error);
      const { maxFailures } = this.#backoff;
      if (maxFailures !== "unlimited" && this.#failures >= maxFailures) return this.#giveUp("failed", error);
      const { random = Math.random } = this.#options;
      const delayMs = backoffMs(this.#failures, this.#backoff, random);
      this.#state = { kind: "waiting", failures: this.#failures, delayMs, error };
      this.#options.log({ event: "waiting", ...codesOf(error), failures: this.#failures, delayMs });
      await sleep(delayMs, { clock: this.#clock, signal });
      if (signal.aborted) return;
      this.#state = { kind: "starting", failures: this.#failures };
    }
  }

  async #life(first: LaunchOptions | undefined, signal: AbortSignal): Promise<Life> {
    try {
      const launch = first ?? (await this.#check());
      signal.throwIfAborted();
      const adopted = await this.#owned.adopt(launch);
      if (!adopted) await this.#owned.end();
      signal.throwIfAborted();
      const enclave = adopted ?? (await this.#run(launch, signal));
      const life = await this.#serve(enclave, { isAdopted: adopted !== undefined, signal });
      if (!signal.aborted) await this.#owned.end();
      return life;
    } catch (error) {
      return { error: asError(error), upMs: 0 };
    }
  }

  async #run(launch: LaunchOptions, signal: AbortSignal): Promise<EnclaveDescription> {
    const enclave = await this.#options.launcher.run({ ...launch, signal });
    this.#starts++;
    await this.#owned.take(enclave);
    return enclave;
  }

  /** From the moment that it runs to its end, or ours. */
  async #serve(enclave: EnclaveDescription, { isAdopted, signal }: Serving): Promise<Life> {
    const { launcher, pollMs = POLL_MS, ready, readyTimeoutMs, onStarted, onUp, onDown, log } = this.#options;
    const { enclaveId, cid } = enclave;
    const watch = new Watch(enclaveId, { launcher, pollMs, clock: this.#clock, signal, log });
    this.#watch = watch;
    let upAt: number | undefined;
    let error: Error;
    log({ event: isAdopted ? "adopted" : "started", enclaveId, cid });
    this.#state = { kind: "starting", failures: this.#failures, enclave };
    try {
      await onStarted?.(enclave);
      await untilReady(enclave, { watch, ready, timeoutMs: readyTimeoutMs });
      await onUp?.(enclave);
      upAt = this.#clock.monotonicMs();
      this.#state = { kind: "up", enclave, isAdopted };
      log({ event: "up", enclaveId, cid });
      error = await watch.ended;
    } catch (cause) {
      error = watch.over ?? notReady(enclaveId, cause);
    }
    watch.close();
    const upMs = upAt === undefined ? 0 : this.#clock.monotonicMs() - upAt;
    const why = signal.aborted ? { code: this.#how } : codesOf(error);
    log({ event: "down", enclaveId, cid, ...why, upMs });
    try {
      await onDown?.(enclave, why.code);
    } catch (fault) {
      log({ event: "hook-failed", enclaveId, ...codesOf(fault) });
    }
    return { error, upMs };
  }

  async #check(): Promise<LaunchOptions> {
    const { launcher, launch, inspect, expected, now = () => new Date() } = this.#options;
    return checkImage({ platform: launcher.platform, launch, inspect, expected, now });
  }

  #giveUp(kind: "failed" | "refused", error: Error): void {
    this.#session = undefined;
    this.#settle(kind, error);
  }

  #settle(kind: "failed" | "refused", error: Error): void {
    this.#state = kind === "failed" ? { kind, failures: this.#failures, error } : { kind, error };
    const event: SupervisorEvent = { event: kind, ...codesOf(error) };
    this.#options.log(kind === "failed" ? { ...event, failures: this.#failures } : event);
  }
}

interface Serving {
  readonly isAdopted: boolean;
  readonly signal: AbortSignal;
}
