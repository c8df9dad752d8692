/**
 * The time of a supervisor, as a value: tests hand in one that they turn by hand.
 *
 * @module
 */

export interface Clock {
  /** Only goes forward. */
  monotonicMs(): number;
  /** Runs `run` once, `ms` milliseconds from now, unless the function that it gives is called before. */
  after(ms: number, run: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export interface SleepOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Is given what ends the sleep early. */
  readonly onWake?: (wake: () => void) => void;
}

/** Resolves after a time, or as soon as the signal aborts: whoever must know which looks at the signal. */
export function sleep(ms: number, { clock, signal, onWake }: SleepOptions): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const cancel = clock.after(ms, wake);
    signal.addEventListener("abort", wake, { once: true });
    onWake?.(wake);
  });
}

/** What `work` gives, or the signal's reason as soon as it aborts; then nobody waits for `work` any more. */
export async function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  work.catch(() => undefined);
  signal.throwIfAborted();
  let giveUp: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
