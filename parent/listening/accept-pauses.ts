/**
 * Tells of a service that has to rest from accepting, without filling the log with it.
 *
 * Under pressure a driver pauses and resumes many times a second. The first pause is told at once; that it is over is
 * told after two seconds without another, with how many there were. So a storm is two lines, and no more than one a
 * second on average.
 *
 * @module
 */
import type { ParentEvent } from "../observability/observe.ts";

const CALM_MS = 2_000;

type Tell = (event: "paused" | "resumed", facts: Pick<ParentEvent, "code" | "count">) => void;

export class AcceptPauses {
  readonly #tell: Tell;
  #calm: NodeJS.Timeout | undefined;
  #told = false;
  #before = 0;
  #count = 0;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  /** How many there were since the start. */
  get count(): number {
    return this.#count;
  }

  paused(code: string): void {
    this.#count++;
    this.stop();
    if (this.#told) return;
    this.#told = true;
    this.#before = this.#count - 1;
    this.#tell("paused", { code });
  }

  resumed(): void {
    if (!this.#told || this.#calm) return;
    this.#calm = setTimeout(() => {
      this.#calm = undefined;
      this.#told = false;
      this.#tell("resumed", { count: this.#count - this.#before });
    }, CALM_MS);
    // That there is calm is no reason for a process to stay.
    this.#calm.unref();
  }

  stop(): void {
    clearTimeout(this.#calm);
    this.#calm = undefined;
  }
}
