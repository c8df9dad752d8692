/**
 * A cache of data keys: one call of KMS serves many messages, within limits that are written down.
 *
 * What is found must be the same in everything that decides over a key: direction, suite, commitment policy, the KMS
 * client that asked, key ARN, encryption context (in one order, by case), partition, and for opening the encrypted data
 * keys. The name of an entry frames each part by its length, so no two sets of parts have one name.
 *
 *   limits      age from before the call on a clock that only goes forward; messages and bytes as they would be with
 *               this message, so that a key is replaced before it is used too much
 *   one flight  those who miss together wait for one call; its failure is theirs, and is not kept
 *   zeroed      the data key's memory, when it expires, is evicted, is used up, or the cache is closed
 *
 * Nothing is cached of a message whose length is not known, or that alone is over the limit. No grace beyond the age.
 *
 * Source: AWS Encryption SDK specification, framework/caching-cmm.md, framework/local-cryptographic-materials-cache.md.
 *
 * @module
 */
import { type MaterialsSource, UNCACHED } from "../../shared/envelope/materials.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { type CacheStats, KeyCache } from "./key-cache.ts";

export interface MaterialsCacheOptions {
  /** How long a data key is used, in milliseconds; required. */
  readonly maxAgeMs: number;
  /** Bytes that are sealed under one data key at most; default 2^53 − 1. */
  readonly maxBytes?: number;
  /** Messages that are sealed under one data key at most; default 2^32. */
  readonly maxMessages?: number;
  /** Data keys that are held at most; the least recently used goes. */
  readonly capacity: number;
  /** Users of different partitions never share a key, e.g. tenants. */
  readonly partition: string;
  /** A clock that only goes forward, in milliseconds; default `performance.now`. */
  readonly monotonicMs?: () => number;
  /** Where keys come from that are not held; default: KMS. */
  readonly source?: MaterialsSource;
}

export interface MaterialsCache extends MaterialsSource, Disposable {
  /** The same limits and capacity for another partition; no key is shared between the two. */
  partition(name: string): MaterialsSource;
  /** Zeroes every key, and keeps none that is on its way: after a change of the attestation policy. */
  invalidate(): void;
  stats(): CacheStats;
}

const MAX_BYTES = Number.MAX_SAFE_INTEGER;
const MAX_MESSAGES = 2 ** 32;
/** Timers hold 31 bits. */
const MAX_AGE_MS = 2 ** 31 - 1;
const MAX_CAPACITY = 2 ** 20;

/** @throws {ConfigError} `ERR_CONFIG_FIELD_INVALID`, a limit that is none */
export function createMaterialsCache(options: MaterialsCacheOptions): MaterialsCache {
  const { maxAgeMs, maxBytes = MAX_BYTES, maxMessages = MAX_MESSAGES, capacity, partition } = options;
  checkLimit("maxAgeMs", maxAgeMs, MAX_AGE_MS);
  checkLimit("maxBytes", maxBytes, MAX_BYTES);
  checkLimit("maxMessages", maxMessages, MAX_MESSAGES);
  checkLimit("capacity", capacity, MAX_CAPACITY);
  const { monotonicMs = () => performance.now(), source = UNCACHED } = options;
  const cache = new KeyCache({ maxAgeMs, maxBytes, maxMessages, capacity, monotonicMs, source });
  const sourceFor = (name: string): MaterialsSource => {
    if (typeof name !== "string" || name === "")
      throw invalid("partition", "a name", name === "" ? "empty" : typeof name);
    return { managerFor: (access) => cache.managerFor(access, name) };
  };
  return {
    ...sourceFor(partition),
    partition: sourceFor,
    invalidate: () => cache.invalidate(),
    stats: () => cache.stats(),
    [Symbol.dispose]: () => cache.close(),
  };
}

function checkLimit(field: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value > 0 && value <= most) return;
  throw invalid(field, `an integer from 1 to ${most}`, String(value));
}

function invalid(field: string, expected: string, actual: string): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
