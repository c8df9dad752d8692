/**
 * Keeps the credentials of a source, and asks for new ones ahead of the end of the old.
 *
 *   far from the end      the kept ones, without a question
 *   near the end          the kept ones, and one question behind them
 *   about to end          the answer is waited for; if there is none, the kept ones while they are valid
 *   ended, or none yet    the answer, or why there is none
 *
 * One question at a time, whoever asks. After a failure the source rests, longer each time; so it does when its answer
 * is the old credentials again. When they end is measured twice, by the wall clock and by one that only goes forward,
 * and the earlier counts: a clock that is put back does not lengthen a life.
 *
 * @module
 */
import { TransportError } from "../../shared/errors/index.ts";
import {
  type ContainerCredentials,
  type ProvideCredentials,
  readContainerCredentials,
} from "./container-credentials.ts";

export interface RefreshingOptions {
  /** How long before their end new ones are asked for, in milliseconds. Default 600 000: earlier than any SDK asks. */
  readonly aheadMs?: number;
  /** For one question, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Default: the system's clock. */
  readonly now?: () => Date;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: () => number;
  /** At least 0 and below 1: spreads the rests of many hosts. Default `Math.random`. */
  readonly random?: () => number;
}

interface Kept {
  readonly credentials: ContainerCredentials;
  readonly endsAt: number;
  readonly endsAtMonotonic: number;
}

/** What must be left of credentials that are given out without waiting for new ones. */
const MARGIN_MS = 30_000;
const REST_MIN_MS = 250;
const REST_MAX_MS = 5_000;

/** Makes a provider that gives what `provide` gave, for as long as that serves. */
export function refreshing(provide: ProvideCredentials, options: RefreshingOptions = {}): ProvideCredentials {
  return new Refresher(provide, options).give;
}

class Refresher {
  readonly #provide: ProvideCredentials;
  readonly #options: Required<RefreshingOptions>;
  #kept: Kept | undefined;
  #asking: Promise<Kept> | undefined;
  #failures = 0;
  #failure: unknown;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(provide: ProvideCredentials, options: RefreshingOptions) {
    const { aheadMs = 600_000, now = () => new Date(), random = Math.random, timeoutMs = 10_000 } = options;
    const { monotonicMs = () => performance.now() } = options;
    if (!(aheadMs >= MARGIN_MS)) throw new RangeError(`aheadMs is at least ${MARGIN_MS}, not ${aheadMs}`);
    this.#provide = provide;
    this.#options = { aheadMs, timeoutMs, now, monotonicMs, random };
  }

  readonly give = async (): Promise<ContainerCredentials> => {
    const kept = this.#kept;
    const left = kept ? this.#left(kept) : 0;
    if (kept && left > this.#options.aheadMs) return kept.credentials;
    const answer = this.#ask();
    if (kept && left > MARGIN_MS) {
      answer.catch(() => {}); // the next one to ask hears of it, if it still matters then
      return kept.credentials;
    }
    try {
      return (await answer).credentials;
    } catch (error) {
      if (kept && this.#left(kept) > 0) return kept.credentials;
      throw error;
    }
  };

  #left({ endsAt, endsAtMonotonic }: Kept): number {
    const { now, monotonicMs } = this.#options;
    return Math.min(endsAt - now().getTime(), endsAtMonotonic - monotonicMs());
  }

  async #ask(): Promise<Kept> {
    if (this.#asking !== undefined) return this.#asking;
    if (this.#options.monotonicMs() < this.#restsUntil) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#kept && this.#left(this.#kept) > 0) return this.#kept;
    }
    this.#asking = this.#refresh();
    try {
      return await this.#asking;
    } finally {
      this.#asking = undefined;
    }
  }

  async #refresh(): Promise<Kept> {
    const { aheadMs, now, monotonicMs } = this.#options;
    try {
      const credentials = readContainerCredentials(await this.#question());
      const endsAt = Date.parse(credentials.Expiration);
      const left = endsAt - now().getTime();
      if (!(left > 0)) {
        const details = { field: "Expiration", expected: "in the future" };
        throw new TransportError("ERR_TRANSPORT_CREDENTIALS_INVALID", details);
      }
      this.#failures = 0;
      this.#failure = undefined;
      if (left <= aheadMs) this.#rest(REST_MAX_MS); // the source has no newer ones yet
      this.#kept = { credentials, endsAt, endsAtMonotonic: monotonicMs() + left };
      return this.#kept;
    } catch (error) {
      this.#failure = error;
      this.#rest(Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** this.#failures++));
      throw error;
    }
  }

  async #question(): Promise<ContainerCredentials> {
    const { timeoutMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: "the source of credentials", timeoutMs });
      timer = setTimeout(() => reject(error), timeoutMs);
    });
    try {
      return await Promise.race([this.#provide(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Half of it for certain, the other half by chance. */
  #rest(ms: number): void {
    const { monotonicMs, random } = this.#options;
    this.#restsUntil = monotonicMs() + (ms / 2) * (1 + random());
  }
}
