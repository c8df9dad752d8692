/** Waits that end when the test says so: the clock of what delivers log lines. */
export class Waits {
  /** How long each wait was to be, in milliseconds. */
  readonly asked: number[] = [];
  readonly #open: (() => void)[] = [];

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> => {
    this.asked.push(ms);
    return new Promise((resolve) => {
      this.#open.push(resolve);
      signal.addEventListener("abort", () => resolve());
    });
  };

  /** Ends every wait that is under way. */
  end(): void {
    for (const resolve of this.#open.splice(0)) resolve();
  }
}
