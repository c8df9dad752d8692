/**
 * A token bucket: what a peer may spend at once, and how fast it gets that back.
 *
 * The clock is handed in and only goes forward, so a step of the wall clock neither opens nor shuts it. `has` and
 * `take` are apart because a record must find room in several buckets before it is taken from any.
 *
 * @module
 */

export interface RateLimit {
  /** How many at once. */
  readonly burst: number;
  /** How many a second after that. */
  readonly perSecond: number;
}

export class TokenBucket {
  readonly #limit: RateLimit;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** @throws {RangeError} a limit that lets nothing through */
  constructor(limit: RateLimit, now: () => number) {
    if (!(limit.burst >= 1) || !(limit.perSecond > 0)) throw new RangeError("a rate limit lets something through");
    this.#limit = limit;
    this.#now = now;
    this.#tokens = limit.burst;
    this.#filledAt = now();
  }

  /** Whether `count` may be taken now. What is larger than the whole bucket may be when the bucket is full. */
  has(count: number): boolean {
    const { burst, perSecond } = this.#limit;
    const now = this.#now();
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#filledAt) / 1_000) * perSecond);
    this.#filledAt = now;
    return this.#tokens >= Math.min(count, burst);
  }

  take(count: number): void {
    this.#tokens -= count;
  }
}
