/**
 * The entries of a cache of data keys: by what name they are found, when they are used, and when they go.
 *
 * The rules are in materials-cache.ts; here is the order in which they are applied: a key that is too old or used up is
 * zeroed before another is asked for, and who waited for a call looks again, since others may have used up what it gave.
 *
 * @module
 */
import type {
  EncryptionContext,
  NodeAlgorithmSuite,
  NodeDecryptionMaterial,
  NodeEncryptionMaterial,
  NodeMaterialsManager,
} from "@aws-crypto/client-node";
import { serializeContext } from "../../shared/envelope/context.ts";
import { COMMITMENT_POLICY, type KeyAccess, type MaterialsSource } from "../../shared/envelope/materials.ts";
import { CachedKey, type UseLimits } from "./cached-key.ts";

export interface CacheStats {
  readonly hits: number;
  /** Each a call of KMS. */
  readonly misses: number;
  /** Those who waited for another's call. */
  readonly joined: number;
  /** Not cached by their nature: of no known length, or alone over a limit. */
  readonly uncached: number;
  /** Data keys that are held. */
  readonly entries: number;
}

export interface CacheLimits extends UseLimits {
  readonly maxAgeMs: number;
  readonly capacity: number;
  readonly monotonicMs: () => number;
  readonly source: MaterialsSource;
}

type Material = NodeEncryptionMaterial | NodeDecryptionMaterial;

/** What a miss asks, and what a key that is found is good for: `undefined` where it is used up. */
interface Lookup<Found> {
  readonly ask: () => Promise<Material>;
  readonly use: (key: CachedKey) => Found | undefined;
}

export class KeyCache {
  readonly #limits: CacheLimits;
  /** Least recently used first. */
  readonly #keys = new Map<string, CachedKey>();
  readonly #flights = new Map<string, Promise<void>>();
  readonly #clients = new WeakMap<object, number>();
  #clientCount = 0;
  /** Counts invalidations: what set out before one is not kept. */
  #generation = 0;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #counts = { hits: 0, misses: 0, joined: 0, uncached: 0 };

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  managerFor(access: KeyAccess, partition: string): NodeMaterialsManager {
    const behind = this.#limits.source.managerFor(access);
    const scope = [partition, String(this.#clientNumber(access.kms)), access.keyArn];
    return {
      getEncryptionMaterials: async (request) => {
        const { suite, plaintextLength: bytes, encryptionContext, commitmentPolicy } = request;
        if (!suite?.cacheSafe || commitmentPolicy !== COMMITMENT_POLICY || !this.#isCountable(bytes)) {
          this.#counts.uncached++;
          return behind.getEncryptionMaterials(request);
        }
        const name = nameOf([...scope, "seal", commitmentPolicy, ...partsOf(suite, encryptionContext)]);
        return this.#find(name, {
          use: (key) => (key.mayTake(bytes, this.#limits) ? key.forSealing(bytes) : undefined),
          // The length of one message is no matter of a key that serves many.
          ask: () => behind.getEncryptionMaterials({ suite, encryptionContext, commitmentPolicy }),
        });
      },
      decryptMaterials: async (request) => {
        const { suite, encryptedDataKeys, encryptionContext } = request;
        if (!suite.cacheSafe) {
          this.#counts.uncached++;
          return behind.decryptMaterials(request);
        }
        const wrapped = encryptedDataKeys.map(({ providerId, providerInfo, encryptedDataKey }) =>
          nameOf([providerId, providerInfo, hexOf(encryptedDataKey)]),
        );
        const parts = partsOf(suite, encryptionContext);
        return this.#find(nameOf([...scope, "open", COMMITMENT_POLICY, ...parts, ...wrapped.sort()]), {
          use: (key) => key.forOpening(),
          ask: () => behind.decryptMaterials(request),
        });
      },
    };
  }

  invalidate(): void {
    this.#generation++;
    this.#flights.clear();
    for (const name of [...this.#keys.keys()]) this.#drop(name);
  }

  close(): void {
    this.#isClosed = true;
    this.invalidate();
    clearTimeout(this.#timer);
  }

  stats(): CacheStats {
    return { ...this.#counts, entries: this.#keys.size };
  }

  async #find<Found>(name: string, { use, ask }: Lookup<Found>): Promise<Found> {
    for (let hasWaited = false; ; hasWaited = true) {
      if (this.#isClosed) throw new TypeError("the cache of data keys is closed");
      const key = this.#held(name);
      const found = key && use(key);
      if (found !== undefined) {
        if (!hasWaited) this.#counts.hits++;
        return found;
      }
      if (key) this.#drop(name);
      const flight = this.#flights.get(name);
      this.#counts[flight === undefined ? "misses" : "joined"]++;
      await (flight ?? this.#depart(name, ask));
    }
  }

  #depart(name: string, ask: () => Promise<Material>): Promise<void> {
    const flight = this.#fetch(name, ask).finally(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    });
    this.#flights.set(name, flight);
    return flight;
  }

  async #fetch(name: string, ask: () => Promise<Material>): Promise<void> {
    const { maxAgeMs, capacity, monotonicMs } = this.#limits;
    const generation = this.#generation;
    // Age counts from before the call: an answer that took long is not younger for it.
    const expiresAt = monotonicMs() + maxAgeMs;
    const material = await ask();
    if (generation !== this.#generation) {
      material.zeroUnencryptedDataKey();
      return;
    }
    this.#keys.set(name, new CachedKey(material, expiresAt));
    for (const oldest of this.#keys.keys()) if (this.#keys.size > capacity) this.#drop(oldest);
    this.#watch();
  }

  /** The key of a name that is not too old, from now on the most recently used. */
  #held(name: string): CachedKey | undefined {
    const key = this.#keys.get(name);
    if (!key) return undefined;
    if (this.#limits.monotonicMs() >= key.expiresAt) {
      this.#drop(name);
      return undefined;
    }
    this.#keys.delete(name);
    this.#keys.set(name, key);
    return key;
  }

  #drop(name: string): void {
    this.#keys.get(name)?.zero();
    this.#keys.delete(name);
  }

  /** Keys that nobody asks for any more expire too. */
  #watch(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const now = this.#limits.monotonicMs();
      for (const [name, { expiresAt }] of [...this.#keys]) if (now >= expiresAt) this.#drop(name);
      if (this.#keys.size > 0) this.#watch();
    }, this.#limits.maxAgeMs).unref();
  }

  #isCountable(bytes: number | undefined): bytes is number {
    const { maxBytes, maxMessages } = this.#limits;
    // A key for one message each need not be waited for in turn.
    return bytes !== undefined && bytes >= 0 && bytes <= maxBytes && maxMessages > 1;
  }

  #clientNumber(kms: object): number {
    const number = this.#clients.get(kms) ?? ++this.#clientCount;
    this.#clients.set(kms, number);
    return number;
  }
}

function partsOf(suite: NodeAlgorithmSuite, context: EncryptionContext): readonly string[] {
  return [String(suite.id), hexOf(serializeContext(context))];
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Each part framed by its length. */
function nameOf(parts: readonly string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join("");
}
