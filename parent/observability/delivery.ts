/**
 * Carries log lines to a place that may be slow, full or away, without holding up who writes them.
 *
 *   write     puts the line into a bounded queue and returns
 *   deliver   one batch at a time, from the head; a batch that fails is tried again, later and later, at a random
 *             moment of the wait (full jitter); one that the place will never take is dropped
 *   close     delivers what waits, for so long; then gives up and counts the rest as dropped
 *
 * Order is kept: nothing overtakes. The clock, the wait and the dice are handed in.
 *
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter", for full jitter.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { type Line, LineQueue, toLine } from "./line-queue.ts";
import { formatEntry, type LogEntry } from "./log-line.ts";

/** Where log lines go. */
export interface LogDestination extends AsyncDisposable {
  /** Takes an entry. Never throws and never waits; what finds no room is counted. */
  write(entry: LogEntry): void;
  /** Resolves when all that was written before is delivered or refused, or when time ran out. */
  flush(): Promise<void>;
  /** Delivers what waits, as long as the time for it lasts, and lets go of the place. */
  close(): Promise<void>;
  /** How many entries did not arrive, since the start. */
  dropped(): number;
}

/** Options that every destination has. */
export interface DeliveryOptions {
  /** How many lines may wait. Default 10 000. */
  readonly linesMax?: number;
  /** How many bytes may wait. Default 8 MiB. */
  readonly bytesMax?: number;
  /** How long `flush` and `close` wait, in milliseconds. Default 5 000. */
  readonly flushTimeoutMs?: number;
  /** The time that stands on a line. Default `Date.now`. */
  readonly now?: () => number;
  /** Waits, and ends early without a fault when the signal aborts. For tests. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** At least 0, less than 1. Default `Math.random`: nothing depends on its being unforeseeable. */
  readonly random?: () => number;
}

/** The place that lines are delivered to. */
export interface Place {
  /** How many lines of the head may go together; at least one. */
  readonly cut: (lines: readonly Line[]) => number;
  /**
   * Delivers a batch whole, and gives how many of it the place will never take. Settles when the signal aborts.
   *
   * @throws {Undeliverable} the place will never take the batch; anything else thrown means: later
   */
  readonly deliver: (batch: readonly Line[], signal: AbortSignal) => Promise<number>;
  readonly end?: () => Promise<void>;
  /** How long lines gather before a batch that is not full goes, in milliseconds. */
  readonly lingerMs: number;
  /** A longer line can not be delivered at all. */
  readonly lineBytesMax: number;
}

/** What a place throws for a batch that it will never take. */
export class Undeliverable extends Error {
  override readonly name = "Undeliverable";
}

const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 30_000;

/** Makes a destination of a place. */
export function deliverTo(place: Place, options: DeliveryOptions = {}): LogDestination {
  return new Delivery(place, options);
}

class Delivery implements LogDestination {
  readonly #place: Place;
  readonly #options: Required<DeliveryOptions>;
  readonly #queue: LineQueue;
  readonly #gaveUp = new AbortController();
  readonly #waiting = new Set<() => void>();
  #pumping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #pause: AbortController | undefined;

  constructor(place: Place, options: DeliveryOptions) {
    const { linesMax = 10_000, bytesMax = 8 * 1_048_576, flushTimeoutMs = 5_000 } = options;
    const { now = Date.now, sleep = sleepQuietly, random = Math.random } = options;
    for (const [name, value] of Object.entries({ linesMax, bytesMax, flushTimeoutMs })) {
      if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be a positive integer`);
    }
    this.#place = place;
    this.#options = { linesMax, bytesMax, flushTimeoutMs, now, sleep, random };
    this.#queue = new LineQueue({ linesMax, bytesMax, lineBytesMax: place.lineBytesMax });
  }

  dropped(): number {
    return this.#queue.dropped;
  }

  write(entry: LogEntry): void {
    const atMs = this.#options.now();
    const line = this.#closing === undefined ? lineOf(entry, atMs) : undefined;
    if (line) this.#queue.push(line);
    else this.#queue.lose();
    this.#start();
  }

  async flush(): Promise<void> {
    const goal = this.#queue.entered;
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), this.#options.flushTimeoutMs);
    try {
      while (this.#queue.left < goal && !timeout.signal.aborted) {
        const progress = this.#progress(timeout.signal);
        this.#pause?.abort();
        await progress;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #finish(): Promise<void> {
    this.#queue.tellGap(this.#options.now());
    this.#start();
    await this.flush();
    this.#gaveUp.abort();
    this.#pause?.abort();
    await this.#pumping;
    const rest = this.#queue.lines.length;
    this.#queue.remove(rest, rest);
    await this.#place.end?.();
  }

  #start(): void {
    if (this.#queue.lines.length === 0 || this.#gaveUp.signal.aborted) return;
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
      this.#start();
    });
  }

  async #pump(): Promise<void> {
    let backoffMs = BACKOFF_FIRST_MS;
    // Not inside `write`: what is written in one go goes together, and the writer does not wait for it.
    await Promise.resolve();
    while (this.#queue.lines.length > 0 && !this.#gaveUp.signal.aborted) {
      const { cut, lingerMs } = this.#place;
      const full = cut(this.#queue.lines) < this.#queue.lines.length;
      const hurried = this.#waiting.size > 0 || backoffMs > BACKOFF_FIRST_MS;
      if (!full && !hurried && lingerMs > 0) await this.#rest(lingerMs);
      if (await this.#deliverHead()) {
        backoffMs = BACKOFF_FIRST_MS;
        if (this.#queue.lines.length === 0) this.#queue.tellGap(this.#options.now());
      } else {
        await this.#rest(this.#options.random() * backoffMs);
        backoffMs = Math.min(BACKOFF_MAX_MS, 2 * backoffMs);
      }
      for (const waiting of this.#waiting) waiting();
    }
  }

  async #deliverHead(): Promise<boolean> {
    const batch = this.#queue.lines.slice(0, Math.max(1, this.#place.cut(this.#queue.lines)));
    try {
      const lost = await this.#place.deliver(batch, this.#gaveUp.signal);
      this.#queue.remove(batch.length, lost);
    } catch (error) {
      if (!(error instanceof Undeliverable)) return false;
      this.#queue.remove(batch.length, batch.length);
    }
    return true;
  }

  async #rest(ms: number): Promise<void> {
    if (this.#gaveUp.signal.aborted) return;
    const pause = new AbortController();
    this.#pause = pause;
    await this.#options.sleep(ms, pause.signal);
    this.#pause = undefined;
  }

  /** Resolves after the next batch, well or ill, and when the signal aborts. */
  #progress(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        this.#waiting.delete(over);
        signal.removeEventListener("abort", over);
        resolve();
      };
      this.#waiting.add(over);
      signal.addEventListener("abort", over);
    });
  }
}

/** The line of an entry; undefined when it has no JSON form. */
function lineOf(entry: LogEntry, atMs: number): Line | undefined {
  try {
    return toLine(formatEntry(entry, atMs), atMs);
  } catch {
    // There is nowhere to tell it: the log is what failed. The caller counts it.
    return undefined;
  }
}

async function sleepQuietly(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await wait(ms, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
