/**
 * Remembers chains of issuers whose signatures were verified, so that the next document under them costs two checks
 * instead of five.
 *
 * What is remembered is only that each certificate signed the next. Everything that can change is judged anew on every
 * hit: the root against the policy's, every certificate against the clock, the leaf and the document by signature.
 * The key is the certificates' exact bytes, so a re-encoded twin is another chain. Bounded; the least recently used goes.
 *
 * @module
 */
import type { VerifyKey } from "../cose/es384.ts";
import type { Certificate } from "../der/certificate.ts";

/** Issuers in order, root first, each signed by the one before. */
export interface VerifiedIssuers {
  readonly certificates: readonly [root: Certificate, ...intermediates: Certificate[]];
  /** The public key of the last one, which signs leaves. */
  readonly signer: VerifyKey;
}

export interface ChainCacheOptions {
  /** Chains remembered; default 64: an instance has one at a time, which changes daily. */
  readonly maxEntries?: number;
}

/** Made by `createChainCache`; given to `verifyAttestation` as an option. */
export class ChainCache {
  readonly #maxEntries: number;
  readonly #entries = new Map<string, VerifiedIssuers>();

  constructor({ maxEntries = 64 }: ChainCacheOptions = {}) {
    if (!Number.isInteger(maxEntries) || maxEntries < 1)
      throw new RangeError(`maxEntries is 1 or more, not ${maxEntries}`);
    this.#maxEntries = maxEntries;
  }

  /** Chains remembered now. */
  get size(): number {
    return this.#entries.size;
  }

  get(issuers: readonly Uint8Array[]): VerifiedIssuers | undefined {
    const key = keyOf(issuers);
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  set(issuers: readonly Uint8Array[], entry: VerifiedIssuers): void {
    const key = keyOf(issuers);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries) return;
      this.#entries.delete(oldest);
    }
  }
}

/** A cache for verifiers that see many documents of the same instances. */
export function createChainCache(options: ChainCacheOptions = {}): ChainCache {
  return new ChainCache(options);
}

/** Exact bytes with their lengths; at most five certificates of 1 KiB. */
function keyOf(issuers: readonly Uint8Array[]): string {
  // Not by spreading, which walks the bytes with an iterator and takes six times as long.
  return issuers.map((der) => `${der.length}:${Reflect.apply(String.fromCharCode, undefined, der)}`).join("");
}
