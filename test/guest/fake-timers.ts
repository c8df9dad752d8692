/**
 * `setTimeout` under the control of a test: as much of `vi` as the suites use. Whatever else they ask for throws.
 *
 * @module
 */

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** The system's own, for the harness. */
export const realTimers: { readonly setTimeout: typeof setTimeout; readonly clearTimeout: typeof clearTimeout } = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
};

const timers = new Map<object, Timer>();
let now = 0;

/** Behaves enough like Node's own handle. */
class Handle {
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
}

const OFFERED = new Set(["setTimeout", "clearTimeout"]);

export const fakeTimers = {
  useFakeTimers(options: { readonly toFake?: readonly string[] } = {}): void {
    const other = (options.toFake ?? ["everything"]).filter((name) => !OFFERED.has(name));
    if (other.length > 0) throw new TypeError(`these timers can not be faked here: ${other.join(", ")}`);
    timers.clear();
    const set = (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]): Handle => {
      const handle = new Handle();
      timers.set(handle, { at: now + Math.max(1, delayMs), run: () => run(...args) });
      return handle;
    };
    globalThis.setTimeout = set as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((handle: unknown) => {
      if (handle instanceof Handle) timers.delete(handle);
      else realTimers.clearTimeout(handle as NodeJS.Timeout);
    }) as typeof clearTimeout;
  },

  useRealTimers(): void {
    timers.clear();
    globalThis.setTimeout = realTimers.setTimeout;
    globalThis.clearTimeout = realTimers.clearTimeout;
  },

  advanceTimersByTime(byMs: number): void {
    const until = now + byMs;
    for (;;) {
      const due = [...timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
      if (due === undefined) break;
      timers.delete(due[0]);
      now = due[1].at;
      due[1].run();
    }
    now = until;
  },
};
