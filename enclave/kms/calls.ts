/**
 * Makes a call to KMS of one attempt or a few, within one deadline.
 *
 *   for each attempt: the circuit lets it pass → its turn comes → it is made → what failed decides
 *
 *   throttled, transient   again, after a rest of up to `baseMs` × 2ⁿ with full jitter, `attempts` times in all
 *   clock                  again at once, once: the SDK signs with KMS's time then
 *   document               again at once, once, if the document had served before
 *   final                  the caller sees it
 *
 * The deadline counts from the call, waiting included. What a given up attempt still brings is dropped unopened.
 *
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (full jitter).
 *
 * @module
 */
import { KmsError } from "../../shared/errors/index.ts";
import { Circuit, type CircuitOptions } from "./circuit.ts";
import { type AttemptFailure, failureOf, withoutExchange } from "./failures.ts";
import { Pace, type TurnEnd } from "./pace.ts";
import { SYSTEM_TIMING, type Timing } from "./timing.ts";

export interface RetryOptions {
  /** For one call, the first included, 1 to 10; default 4. */
  readonly attempts?: number;
  /** Bound of the first rest, in milliseconds; default 50. */
  readonly baseMs?: number;
  /** Bound of any rest, in milliseconds; default 2 000. */
  readonly capMs?: number;
}

export interface CallOptions {
  readonly retry?: RetryOptions;
  readonly circuit?: CircuitOptions;
  /** For a call from beginning to end, waiting for its turn and all attempts included, in milliseconds; default 30 000. */
  readonly deadlineMs?: number;
  /** Requests under way at once, 1 to 1 000; default 32. Keep it below the agent's `maxSockets`. */
  readonly maxInFlight?: number;
  /** Ends all calls. */
  readonly signal?: AbortSignal;
  /** Clock, timer and jitter; default the system's. */
  readonly timing?: Timing;
}

/** What the SDK's middleware hands on. */
export interface SdkResult {
  readonly output: object;
}

export interface Call<Result> {
  readonly operation: string;
  /** The caller's. */
  readonly signal: AbortSignal | undefined;
  /** Makes one attempt; the one before failed so. */
  attempt(signal: AbortSignal, failed: AttemptFailure | undefined): Promise<Result>;
  /** Whether what the failed attempt carried may be why. */
  mayRenew(): boolean;
}

/** The calls of one client: they share what they learn of KMS. */
export class Calls {
  readonly #attempts: number;
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #deadlineMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #timing: Timing;
  readonly #circuit: Circuit;
  readonly #pace: Pace;

  /** @throws {RangeError} an option */
  constructor({ retry = {}, circuit = {}, deadlineMs = 30_000, maxInFlight = 32, signal, timing }: CallOptions) {
    const { attempts = 4, baseMs = 50, capMs = 2_000 } = retry;
    demand(Number.isInteger(attempts) && attempts >= 1 && attempts <= 10, `retry.attempts is 1 to 10, not ${attempts}`);
    demand(baseMs >= 0 && capMs >= baseMs && capMs <= 60_000, "retry.baseMs and capMs are 0 to 60000, in this order");
    demand(Number.isFinite(deadlineMs) && deadlineMs > 0, `deadlineMs is above 0, not ${deadlineMs}`);
    const isCount = Number.isInteger(maxInFlight) && maxInFlight >= 1 && maxInFlight <= 1_000;
    demand(isCount, `maxInFlight is 1 to 1000, not ${maxInFlight}`);
    this.#attempts = attempts;
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#deadlineMs = deadlineMs;
    this.#signal = signal;
    this.#timing = timing ?? SYSTEM_TIMING;
    this.#circuit = new Circuit(circuit, this.#timing.monotonicMs);
    this.#pace = new Pace({ maxInFlight }, this.#timing);
  }

  /** @throws {KmsError} `ERR_KMS_DEADLINE`, `ERR_KMS_CIRCUIT_OPEN`, or what the last attempt threw */
  async make<Result extends SdkResult>(call: Call<Result>): Promise<Result> {
    const span = new CallSpan([call.signal, this.#signal]);
    const state: CallState = { attempts: 0, last: undefined, once: new Set() };
    void this.#timing.wait(this.#deadlineMs, span.signal).then(
      () => {
        const details = { operation: call.operation, deadlineMs: this.#deadlineMs, attempts: state.attempts };
        span.abort(new KmsError("ERR_KMS_DEADLINE", details, { cause: state.last?.error }));
      },
      () => undefined, // the call ended before
    );
    try {
      const result = await this.#makeWithin(call, span.signal, state);
      noteAttempts(result.output, state.attempts);
      return result;
    } catch (error) {
      noteAttempts(error, state.attempts);
      throw error;
    } finally {
      span.end();
    }
  }

  async #makeWithin<Result>(call: Call<Result>, signal: AbortSignal, state: CallState): Promise<Result> {
    for (;;) {
      try {
        return await this.#attempt(call, signal, state);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const isRefusedHere = error instanceof KmsError && error.code === "ERR_KMS_CIRCUIT_OPEN";
        if (isRefusedHere && state.last) throw state.last.error; // it says more
        const failure = failureOf(error);
        state.last = { error: withoutExchange(call.operation, error), failure };
        if (!this.#mayTryAgain(call, failure, state)) throw state.last.error;
        if (failure === "throttled" || failure === "transient") await this.#rest(state.attempts, signal);
      }
    }
  }

  async #attempt<Result>(call: Call<Result>, signal: AbortSignal, state: CallState): Promise<Result> {
    const leave = this.#circuit.enter(call.operation);
    let turn: Awaited<ReturnType<Pace["take"]>>;
    try {
      turn = await this.#pace.take(signal);
    } catch (error) {
      leave("neither");
      throw error;
    }
    state.attempts++;
    let [end, reached]: [TurnEnd, "answered" | "failed" | "neither"] = ["accepted", "answered"];
    try {
      return await unlessAborted(call.attempt(signal, state.last?.failure), signal);
    } catch (error) {
      const failure = failureOf(error);
      if (signal.aborted) [end, reached] = ["failed", "neither"];
      else if (failure === "throttled") end = "throttled";
      else if (failure === "transient") [end, reached] = ["failed", "failed"];
      throw error;
    } finally {
      turn.end(end);
      leave(reached);
    }
  }

  #mayTryAgain<Result>(call: Call<Result>, failure: AttemptFailure, { attempts, once }: CallState): boolean {
    if (failure === "final" || attempts >= this.#attempts) return false;
    if (failure === "throttled" || failure === "transient") return true;
    if (once.has(failure) || (failure === "document" && !call.mayRenew())) return false;
    once.add(failure);
    return true;
  }

  async #rest(attempts: number, signal: AbortSignal): Promise<void> {
    const boundMs = Math.min(this.#capMs, this.#baseMs * 2 ** (attempts - 1));
    try {
      await this.#timing.wait(this.#timing.random() * boundMs, signal);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }
}

interface CallState {
  attempts: number;
  last: { readonly error: unknown; readonly failure: AttemptFailure } | undefined;
  /** What is tried again once only, and was. */
  readonly once: Set<AttemptFailure>;
}

/** One signal of several, that leaves no listener behind. */
class CallSpan {
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #onAbort = (event: Event): void => this.abort((event.target as AbortSignal).reason);

  constructor(sources: readonly (AbortSignal | undefined)[]) {
    this.#sources = sources.filter((source) => source !== undefined);
    for (const source of this.#sources) {
      if (source.aborted) this.abort(source.reason);
      source.addEventListener("abort", this.#onAbort, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  end(): void {
    for (const source of this.#sources) source.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }
}

function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Where the SDK's own retries leave the number. */
function noteAttempts(thing: unknown, attempts: number): void {
  const { $metadata } = (thing ?? {}) as { $metadata?: { attempts?: number } };
  if ($metadata) $metadata.attempts = attempts;
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new RangeError(message);
}
