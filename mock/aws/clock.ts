/**
 * The emulator's time: its source, moved on by whoever can not wait a year for a rotation.
 *
 *   set       for all: clients whose clock is right are then off, which is how their skew is tested
 *   advance   for what the calendar decides (rotations, deletions, sessions, conditions on the time); clients go on
 *             living in their own time, and their signatures and attestation documents are judged by that
 *
 * @module
 */
/** Beyond it, what is reckoned from the time would leave the four digits of a year, and in the end a `Date`'s range. */
const LAST_MS = Date.UTC(9_000, 0) - 1;

export class EmulatorClock {
  readonly #source: () => Date;
  #offsetMs = 0;
  #advancedMs = 0;

  constructor(source: () => Date) {
    this.#source = source;
  }

  readonly now = (): Date => new Date(this.#source().getTime() + this.#offsetMs + this.#advancedMs);

  /** The time of clients at a time of the emulator. */
  readonly clientTime = (now: Date): Date => new Date(now.getTime() - this.#advancedMs);

  /** Against the source; not cumulative. */
  set(offsetMs: number): void {
    if (!Number.isFinite(offsetMs)) throw new RangeError(`a clock offset is a number of milliseconds, got ${offsetMs}`);
    this.#assertKnown(this.#source().getTime() + offsetMs + this.#advancedMs);
    this.#offsetMs = offsetMs;
  }

  /** Forward only: nothing here can be undone by going back. */
  advance(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`a clock advances by 0 ms or more, got ${ms}`);
    this.#assertKnown(this.now().getTime() + ms);
    this.#advancedMs += ms;
  }

  #assertKnown(timeMs: number): void {
    if (timeMs < 0 || timeMs > LAST_MS) throw new RangeError("a clock's time is from the year 1970 to 8999");
  }

  /** Back to the source. */
  reset(): void {
    this.#offsetMs = 0;
    this.#advancedMs = 0;
  }
}
