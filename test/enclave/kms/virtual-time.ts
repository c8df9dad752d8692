/**
 * Time that passes only when everybody waits: what takes a minute takes no time, and the same every run.
 *
 * @module
 */
import { setImmediate as settle } from "node:timers/promises";
import type { Timing } from "../../../enclave/kms/timing.ts";

interface Sleeper {
  readonly atMs: number;
  wake(): void;
}

export class VirtualTime implements Timing {
  #nowMs = 1_000_000;
  #seed: number;
  readonly #sleepers: Set<Sleeper> = new Set();
  /** Each rest that was asked for, in milliseconds. */
  readonly rests: number[] = [];

  constructor(seed = 1) {
    this.#seed = seed;
  }

  readonly monotonicMs = (): number => this.#nowMs;

  /** Evenly from 0 to 1, by the seed. Source: Steele and Vigna, SplitMix; here in 32 bits. */
  readonly random = (): number => {
    this.#seed = (this.#seed + 0x9e3779b9) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };

  readonly wait = (ms: number, signal?: AbortSignal): Promise<void> => {
    this.rests.push(ms);
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper = {
        atMs: this.#nowMs + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  };

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    const until = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = this.#next();
      if (!next || next.atMs > until) break;
      this.#wake(next);
    }
    this.#nowMs = until;
  }

  /** Lets time pass until the work is done. */
  async until<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false;
    const done = (): void => {
      isDone = true;
    };
    work.then(done, done);
    for (;;) {
      await settle();
      if (isDone) return work;
      const next = this.#next();
      if (!next) throw new Error("nobody waits for time, and the work is not done");
      this.#wake(next);
    }
  }

  #next(): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) if (!next || sleeper.atMs < next.atMs) next = sleeper;
    return next;
  }

  #wake(sleeper: Sleeper): void {
    this.#sleepers.delete(sleeper);
    this.#nowMs = Math.max(this.#nowMs, sleeper.atMs);
    sleeper.wake();
  }
}
