/**
 * RSA-2048 key pairs for KMS answers, made ahead of need: one costs a fifth of a second and more.
 *
 * `poolSize` pairs wait unused. One is in service, until it has served `maxUses` attempts or `maxAgeMs` have passed since
 * its first; then the next takes over and another is made, one at a time, beside the calls. While a pair waits, no call
 * waits for one. With `maxUses: 1` each attempt has a pair of its own, and calls go as fast as pairs are made.
 *
 * A pair that has left service is dropped with its last call, so that captured answers open for nobody later. Within its
 * time each answer opens once: `recipient.ts`.
 *
 * @module
 */
import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import { readMonotonic } from "../../shared/attestation/monotonic.ts";
import type { RecipientKey } from "./recipient.ts";
import { SYSTEM_TIMING } from "./timing.ts";

const generate = promisify(generateKeyPair);

export interface RecipientKeys {
  /** The key pair for one more attempt. */
  take(): Promise<RecipientKey>;
}

export interface RecipientKeyPool extends RecipientKeys {
  /** Resolves when a pair waits, so that the first call does not. */
  ready(): Promise<void>;
}

export interface RecipientKeysOptions {
  /** How many pairs wait unused, 1 to 64; default 2. */
  readonly poolSize?: number;
  /** Attempts that one pair serves, 1 to 100 000; default 1 000: at a hundred calls a second a new pair every ten seconds. */
  readonly maxUses?: number;
  /** For how long after its first use, in milliseconds; default 60 000. */
  readonly maxAgeMs?: number;
  /** Default `performance.now`. */
  readonly monotonicMs?: () => number;
  /** Makes one pair. Default RSA-2048 by Node, on a thread of its pool. */
  readonly makeKey?: () => Promise<RecipientKey>;
}

/** @throws {RangeError} an option */
export function createRecipientKeys(options: RecipientKeysOptions = {}): RecipientKeyPool {
  const { poolSize = 2, maxUses = 1_000, maxAgeMs = 60_000 } = options;
  demand(isCount(poolSize, 64), `poolSize is 1 to 64, not ${poolSize}`);
  demand(isCount(maxUses, 100_000), `maxUses is 1 to 100000, not ${maxUses}`);
  demand(Number.isFinite(maxAgeMs) && maxAgeMs > 0, `maxAgeMs is above 0, not ${maxAgeMs}`);
  const { monotonicMs = SYSTEM_TIMING.monotonicMs, makeKey = makeRsaKey } = options;
  return new KeyPool({ poolSize, maxUses, maxAgeMs, monotonicMs, makeKey });
}

interface InService {
  readonly key: Promise<RecipientKey>;
  readonly sinceMs: number;
  uses: number;
}

class KeyPool implements RecipientKeyPool {
  readonly #options: Required<RecipientKeysOptions>;
  readonly #waiting: Promise<RecipientKey>[] = [];
  #lastMade: Promise<unknown> = Promise.resolve();
  #inService: InService | undefined;

  constructor(options: Required<RecipientKeysOptions>) {
    this.#options = options;
    this.#refill();
  }

  async ready(): Promise<void> {
    await this.#waiting[0];
  }

  async take(): Promise<RecipientKey> {
    const { maxUses, maxAgeMs } = this.#options;
    const now = readMonotonic(this.#options.monotonicMs);
    let current = this.#inService;
    if (!current || current.uses >= maxUses || now - current.sinceMs >= maxAgeMs) {
      current = { key: this.#next(), sinceMs: now, uses: 0 };
      this.#inService = current;
    }
    current.uses++;
    try {
      return await current.key;
    } catch (error) {
      if (this.#inService === current) this.#inService = undefined; // the next attempt has another
      throw error;
    }
  }

  #next(): Promise<RecipientKey> {
    const key = this.#waiting.shift() ?? this.#make();
    this.#refill();
    return key;
  }

  #refill(): void {
    while (this.#waiting.length < this.#options.poolSize) this.#waiting.push(this.#make());
  }

  /** One after the other: the threads are also those of DNS and files. */
  #make(): Promise<RecipientKey> {
    const key = this.#lastMade.then(() => this.#options.makeKey());
    this.#lastMade = key.catch(() => undefined); // whoever takes it sees the failure
    return key;
  }
}

async function makeRsaKey(): Promise<RecipientKey> {
  const { publicKey, privateKey } = await generate("rsa", { modulusLength: 2048, publicExponent: 65_537 });
  return { privateKey, publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
}

function isCount(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= most;
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new RangeError(message);
}
