/**
 * Lets work on one thing happen one at a time, in the order it came: what is read in a turn is true until its end.
 *
 * @module
 */

export class Turns {
  /** The last turn of each key that has one. */
  readonly #last = new Map<string, Promise<void>>();

  /** How many keys have a turn now. */
  get size(): number {
    return this.#last.size;
  }

  /** Does `work` when all that came before it under `key` has ended, in whichever way. */
  take<Result>(key: string, work: () => Result | Promise<Result>): Promise<Result> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const end = (): void => {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    };
    const ended = result.then(end, end);
    this.#last.set(key, ended);
    return result;
  }
}
