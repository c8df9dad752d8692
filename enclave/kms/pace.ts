/**
 * Decides when a request to KMS starts, so that a burst meets a quota without most of it being refused.
 *
 * Nobody tells a client its quota. So requests start freely, at most `maxInFlight` at once, until KMS throttles one. What
 * was accepted in the second before is then taken for the quota:
 *
 *   throttled   all starts stop; the rate becomes 0.95 × what was accepted; one request at a time asks whether KMS
 *               accepts again, after rests with full jitter that double
 *   accepted    starts go on, evenly, at that rate
 *   quiet       after two seconds without a refusal the rate grows, by 5 % a second, twice as fast every two seconds;
 *               after a minute there is none
 *
 * Requests start in the order they came; one that was throttled stands at the end again.
 *
 * Source: AIMD as in RFC 5681; what differs is that the quota is counted rather than searched, since KMS counts requests
 * by the second (KMS Developer Guide, "Throttling AWS KMS requests").
 *
 * @module
 */
import type { Timing } from "./timing.ts";

/** How a started request ended: `failed` says nothing about the quota. */
export type TurnEnd = "accepted" | "throttled" | "failed";

/** The permission to send one request; ended exactly once. */
export interface Turn {
  end(how: TurnEnd): void;
}

export interface PaceOptions {
  /** Requests under way at once. */
  readonly maxInFlight: number;
}

const SECOND_MS = 1_000;
const CUT = 0.95;
/** No slower, however little was accepted: one refusal of a quiet client is no reason to crawl. */
const RATE_LEAST = 10;
const REST_FIRST_MS = 50;
const REST_LONGEST_MS = 250;
const QUIET_MS = 2_000;
const GROWTH_FIRST = 0.05;
const GROWTH_LARGEST = 1;
const FORGET_MS = 60_000;
/** Starts that timers let slip may be made up for, by so much time. */
const CREDIT_MS = 20;

interface Waiting {
  start(turn: Turn): void;
}

/** While KMS throttles. */
interface Pause {
  restMs: number;
  /** When the next request may ask; infinite while one does. */
  probeAtMs: number;
}

export class Pace {
  readonly #maxInFlight: number;
  readonly #timing: Timing;
  readonly #waiting: Set<Waiting> = new Set();
  #inFlight = 0;
  /** Per second. */
  #rate = Number.POSITIVE_INFINITY;
  #nextAtMs = 0;
  #throttledAtMs = Number.NEGATIVE_INFINITY;
  #grownAtMs = 0;
  /** Requests that started before were under way when the pause began, or are of no pause. */
  #resumedAtMs = Number.NEGATIVE_INFINITY;
  #pause: Pause | undefined;
  readonly #accepted = new LastSecond();
  #wakesAtMs = Number.POSITIVE_INFINITY;

  constructor({ maxInFlight }: PaceOptions, timing: Timing) {
    this.#maxInFlight = maxInFlight;
    this.#timing = timing;
  }

  /** Requests a second; infinite while no quota is known. */
  get rate(): number {
    return this.#rate;
  }

  /** Waits for a turn, or rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<Turn> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        start(turn) {
          signal.removeEventListener("abort", onAbort);
          resolve(turn);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiting);
      this.#pump();
    });
  }

  #pump(): void {
    const now = this.#timing.monotonicMs();
    this.#grow(now);
    for (const waiting of this.#waiting) {
      if (this.#inFlight >= this.#maxInFlight) return;
      const atMs = this.#pause ? this.#pause.probeAtMs : this.#nextAtMs;
      if (atMs > now) {
        this.#wake(atMs, now);
        return;
      }
      this.#waiting.delete(waiting);
      waiting.start(this.#start(now));
    }
  }

  #start(now: number): Turn {
    this.#inFlight++;
    const probes = this.#pause;
    if (this.#pause) this.#pause.probeAtMs = Number.POSITIVE_INFINITY;
    this.#nextAtMs = Math.max(this.#nextAtMs, now - CREDIT_MS) + SECOND_MS / this.#rate;
    return {
      end: (how) => {
        this.#inFlight--;
        this.#learn(how, now, probes);
        this.#pump();
      },
    };
  }

  #learn(how: TurnEnd, startedAtMs: number, probes: Pause | undefined): void {
    const now = this.#timing.monotonicMs();
    if (how === "accepted") this.#accepted.add(now);
    if (probes !== undefined) {
      if (how === "accepted") {
        this.#pause = undefined;
        this.#resumedAtMs = now;
        this.#nextAtMs = now;
      } else {
        if (how === "throttled") this.#throttledAtMs = now;
        probes.restMs = Math.min(2 * probes.restMs, REST_LONGEST_MS);
        probes.probeAtMs = now + this.#timing.random() * probes.restMs;
      }
      return;
    }
    if (how === "throttled" && !this.#pause && startedAtMs >= this.#resumedAtMs) this.#slowDown(now);
  }

  #slowDown(now: number): void {
    this.#rate = Math.max(RATE_LEAST, CUT * Math.min(this.#rate, this.#accepted.count(now)));
    this.#throttledAtMs = now;
    this.#pause = { restMs: REST_FIRST_MS, probeAtMs: now + this.#timing.random() * REST_FIRST_MS };
  }

  #grow(now: number): void {
    if (this.#rate === Number.POSITIVE_INFINITY) return;
    const quietMs = now - this.#throttledAtMs - QUIET_MS;
    const sinceMs = Math.min(quietMs, now - this.#grownAtMs);
    this.#grownAtMs = now;
    if (this.#pause || sinceMs <= 0) return;
    if (quietMs > FORGET_MS) {
      this.#rate = Number.POSITIVE_INFINITY;
      return;
    }
    const growth = Math.min(GROWTH_FIRST * 2 ** Math.floor(quietMs / QUIET_MS), GROWTH_LARGEST);
    this.#rate *= (1 + growth) ** (sinceMs / SECOND_MS);
  }

  /** One timer, for the earliest moment at which something may start. */
  #wake(atMs: number, now: number): void {
    if (atMs === Number.POSITIVE_INFINITY || atMs >= this.#wakesAtMs) return;
    this.#wakesAtMs = atMs;
    void this.#timing.wait(Math.max(1, atMs - now)).then(() => {
      if (this.#wakesAtMs !== atMs) return; // an earlier one was set meanwhile
      this.#wakesAtMs = Number.POSITIVE_INFINITY;
      this.#pump();
    });
  }
}

/** Counts moments of the last second. */
class LastSecond {
  #moments: number[] = [];
  #oldest = 0;

  add(now: number): void {
    this.#moments.push(now);
    this.#drop(now);
  }

  count(now: number): number {
    this.#drop(now);
    return this.#moments.length - this.#oldest;
  }

  #drop(now: number): void {
    while ((this.#moments[this.#oldest] ?? now) <= now - SECOND_MS) this.#oldest++;
    if (this.#oldest < 1_024) return;
    this.#moments = this.#moments.slice(this.#oldest);
    this.#oldest = 0;
  }
}
