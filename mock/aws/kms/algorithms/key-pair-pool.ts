/**
 * Has RSA key pairs ready, so that CreateKey and GenerateDataKeyPair do not wait for primes.
 *
 * A thread makes one pair at a time, for each spec that was asked for or warmed, until the spec's number is ready. When
 * none is ready, one is made on demand. The thread is started by the first need, holds no socket or timer, and never
 * keeps the process alive; if it fails, pairs are made on demand until the next call starts another.
 *
 * @module
 */
import { Worker } from "node:worker_threads";
import { generateKeyMaterial, RSA_PUBLIC_EXPONENT } from "./key-material.ts";
import { KEY_KINDS, type KeySpec, type RsaKeySpec } from "./key-specs.ts";

export interface KeyPairPoolOptions {
  /** How many are kept ready; default 2 of RSA_2048, 1 of the others: a second of work in all. */
  readonly sizes?: Readonly<Partial<Record<RsaKeySpec, number>>>;
}

/** How pairs came about since the pool was made. */
export interface KeyPairCounts {
  readonly served: number;
  readonly generatedOnDemand: number;
}

const SIZES: Readonly<Record<RsaKeySpec, number>> = { RSA_2048: 2, RSA_3072: 1, RSA_4096: 1 };
/** Source text, since neither a bundle nor a test runner has a file beside this one that Node could load. */
const THREAD = `
const { parentPort } = require("node:worker_threads");
const { generateKeyPairSync } = require("node:crypto");
parentPort.on("message", (modulusLength) => {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength,
    publicExponent: ${RSA_PUBLIC_EXPONENT},
    publicKeyEncoding: { format: "der", type: "spki" },
    privateKeyEncoding: { format: "der", type: "pkcs8" },
  });
  parentPort.postMessage(privateKey);
});`;

export class KeyPairPool {
  readonly #sizes: Readonly<Record<RsaKeySpec, number>>;
  readonly #ready = new Map<RsaKeySpec, Uint8Array[]>();
  #counts: KeyPairCounts = { served: 0, generatedOnDemand: 0 };
  #thread: Worker | undefined;
  #making: RsaKeySpec | undefined;
  #isClosed = false;
  #whenSettled: (() => void)[] = [];

  constructor({ sizes = {} }: KeyPairPoolOptions = {}) {
    this.#sizes = { ...SIZES, ...sizes };
  }

  get counts(): KeyPairCounts {
    return this.#counts;
  }

  /** Pairs that wait for a taker. */
  get ready(): number {
    let count = 0;
    for (const pairs of this.#ready.values()) count += pairs.length;
    return count;
  }

  /** Starts to make these; without it a spec is kept ready from its first `take` on. */
  warm(specs: readonly RsaKeySpec[]): void {
    for (const spec of specs) if (!this.#ready.has(spec)) this.#ready.set(spec, []);
    this.#refill();
  }

  /** PKCS#8 of a pair that nobody else has; `undefined` for specs that need no pool. */
  take(spec: KeySpec): Promise<Uint8Array> | undefined {
    if (!isRsa(spec)) return undefined;
    const pair = this.#ready.get(spec)?.shift();
    this.warm([spec]);
    const { served, generatedOnDemand } = this.#counts;
    if (pair) {
      this.#counts = { served: served + 1, generatedOnDemand };
      return Promise.resolve(pair);
    }
    this.#counts = { served, generatedOnDemand: generatedOnDemand + 1 };
    return generateKeyMaterial(spec);
  }

  /** Resolves when the thread has nothing to do: all are ready, it failed, or the pool is closed. Keeps nothing alive. */
  settled(): Promise<void> {
    if (this.#making === undefined) return Promise.resolve();
    return new Promise((resolve) => this.#whenSettled.push(resolve));
  }

  /** Ends the thread and drops what is ready. `take` still works, on demand. */
  close(): void {
    this.#isClosed = true;
    this.#ready.clear();
    this.#stop();
  }

  #refill(): void {
    if (this.#isClosed || this.#making !== undefined) return;
    for (const [spec, pairs] of this.#ready) {
      const facts = KEY_KINDS[spec];
      if (facts.kind !== "rsa" || pairs.length >= this.#sizes[spec]) continue;
      this.#making = spec;
      this.#thread ??= this.#start();
      this.#thread.postMessage(facts.modulusBits);
      return;
    }
    this.#settle();
  }

  #start(): Worker {
    const thread = new Worker(THREAD, { eval: true, env: {}, execArgv: [] });
    thread.on("message", (pair: Uint8Array) => {
      if (this.#thread !== thread || this.#making === undefined) return;
      this.#ready.get(this.#making)?.push(Uint8Array.from(pair));
      this.#making = undefined;
      this.#refill();
    });
    thread.on("error", () => this.#lose(thread));
    thread.on("exit", () => this.#lose(thread));
    // Last: to listen is to keep the process alive again.
    thread.unref();
    return thread;
  }

  #lose(thread: Worker): void {
    if (this.#thread === thread) this.#stop();
  }

  #stop(): void {
    const thread = this.#thread;
    this.#thread = undefined;
    this.#making = undefined;
    // Not waited for: a thread in the middle of its primes ends after them.
    void thread?.terminate();
    this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#whenSettled.splice(0)) resolve();
  }
}

function isRsa(spec: KeySpec): spec is RsaKeySpec {
  return KEY_KINDS[spec].kind === "rsa";
}
