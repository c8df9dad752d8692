/**
 * Node's digests for measuring an image: in this thread, or on two cores.
 *
 * PCR0 and the checksum are a second thread's work, PCR2 is this one's, beside reading. The threads share memory; a
 * message says which piece of it is next. A small image, or one without an application, is not worth a thread.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import { crc32 } from "node:zlib";
import type { DigestRole, EifDigests, Incremental } from "../shared/eif/digest-source.ts";

/** Digests that hold a thread until they are disposed of. */
export interface NodeDigests extends EifDigests, AsyncDisposable {}

/** From this size on a thread of its own pays, in bytes. */
const PARALLEL_FROM = 8 * 1024 * 1024;

/** @param size of the file, in bytes */
export function openDigests(size: number): NodeDigests {
  return size < PARALLEL_FROM ? inThisThread() : inTwoThreads();
}

function inThisThread(): NodeDigests {
  return {
    sha384,
    crc32: checksum,
    buffer: (bytes) => new Uint8Array(bytes),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function sha384(): Incremental<Uint8Array> {
  const hash = createHash("sha384");
  return { update: (bytes) => void hash.update(bytes), value: () => new Uint8Array(hash.copy().digest()) };
}

function checksum(): Incremental<number> {
  let crc = 0;
  return {
    update: (bytes) => {
      crc = crc32(bytes, crc);
    },
    value: () => crc,
  };
}

/** What the second thread is asked; it answers in order. */
type Question = { readonly what: "sha384" | "crc32"; readonly bytes?: Uint8Array };

function inTwoThreads(): NodeDigests {
  const second = new SecondThread();
  return {
    sha384: (role: DigestRole) => (role === "image" ? second.incremental<Uint8Array>("sha384") : sha384()),
    crc32: () => second.incremental<number>("crc32"),
    buffer: (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)),
    [Symbol.asyncDispose]: () => second.stop(),
  };
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

class SecondThread {
  // Made from the function's own text: a worker's file would have another name in sources than when built.
  readonly #worker = new Worker(
    `(${answer.toString()})(require("node:worker_threads"), require("node:crypto"), require("node:zlib"))`,
    { eval: true },
  );
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;

  constructor() {
    this.#worker.on("message", (value) => this.#waiting.shift()?.resolve(value));
    this.#worker.on("error", (error: Error) => {
      this.#failure = error;
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    });
  }

  incremental<Value>(what: Question["what"]): Incremental<Value> {
    return {
      update: (bytes) => this.#ask<void>({ what, bytes }),
      value: () => this.#ask<Value>({ what }),
    };
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask<Answer>(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      this.#waiting.push({ resolve: resolve as Waiting["resolve"], reject });
      this.#worker.postMessage(question);
    });
  }
}

/** Runs in the second thread, from its text: it sees its parameters and nothing else of this file. */
function answer(
  { parentPort }: typeof import("node:worker_threads"),
  crypto: typeof import("node:crypto"),
  zlib: typeof import("node:zlib"),
): void {
  const hash = crypto.createHash("sha384");
  let crc = 0;
  parentPort?.on("message", ({ what, bytes }: Question) => {
    if (!bytes) parentPort.postMessage(what === "crc32" ? crc : new Uint8Array(hash.copy().digest()));
    else {
      if (what === "crc32") crc = zlib.crc32(bytes, crc);
      else hash.update(bytes);
      parentPort.postMessage(undefined);
    }
  });
}
