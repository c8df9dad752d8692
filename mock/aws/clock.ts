/**
 * The emulator's time: its source, moved on by whoever can not wait a year for a rotation.
 *
 *   set       for all: clients whose clock is right are then off, which is how their skew is tested
 *   advance   for what the calendar decides (rotations, deletions, sessions, conditions on the time); clients go on
 *             living in their own time, and their signatures and attestation documents are judged by that
 *
 * By how much it was advanced is a row beside the keys: where they are durable, so is what time has done to them, and
 * who puts them back to an earlier moment puts the time back too.
 *
 * @module
 */
import type { Table } from "./state/tables.ts";

export interface ClockRow {
  readonly advancedMs: number;
}

/** Beyond it, what is reckoned from the time would leave the four digits of a year, and in the end a `Date`'s range. */
const LAST_MS = Date.UTC(9_000, 0) - 1;
/** A hundred years in all: what falls due must be made up for. */
const ADVANCE_MAX_MS = 36_525 * 86_400_000;
const ROW = "clock";

export class EmulatorClock {
  readonly #source: () => Date;
  readonly #rows: Table<ClockRow>;
  #offsetMs = 0;

  constructor(source: () => Date, rows: Table<ClockRow>) {
    this.#source = source;
    this.#rows = rows;
  }

  get #advancedMs(): number {
    return this.#rows.get(ROW)?.advancedMs ?? 0;
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

  /** Forward only, by a hundred years in all: nothing here can be undone by going back. */
  advance(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`a clock advances by 0 ms or more, got ${ms}`);
    const advancedMs = this.#advancedMs + ms;
    if (advancedMs > ADVANCE_MAX_MS) throw new RangeError("a clock advances by a hundred years in all");
    this.#assertKnown(this.now().getTime() + ms);
    this.#rows.set(ROW, { advancedMs });
  }

  #assertKnown(timeMs: number): void {
    if (timeMs < 0 || timeMs > LAST_MS) throw new RangeError("a clock's time is from the year 1970 to 8999");
  }

  /** To the source, but for what it was advanced by: that goes with the rows. */
  reset(): void {
    this.#offsetMs = 0;
  }
}
