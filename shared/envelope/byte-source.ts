/**
 * Bytes that come in pieces, taken by length: no more is held than the piece that is being read and what was asked for.
 *
 * @module
 */
import { concat } from "../bytes.ts";
import { BrokenMessage } from "./format.ts";

/** What a stream is read from: a Node or web stream, an async generator, an array of pieces. */
export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

type Pull = Promise<IteratorResult<Uint8Array, unknown>>;

export class ByteSource {
  readonly #stream: ByteStream;
  readonly #iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #aborted: Promise<never> | undefined;
  readonly #release: () => void = () => undefined;
  /** A piece that was asked for and has not come. */
  #pending: Pull | undefined;
  #piece: Uint8Array = new Uint8Array();
  #isDone = false;

  constructor(stream: ByteStream, signal?: AbortSignal) {
    this.#stream = stream;
    this.#iterator =
      Symbol.asyncIterator in stream
        ? stream[Symbol.asyncIterator]()
        : (stream as Iterable<Uint8Array>)[Symbol.iterator]();
    // At once: a Node stream that fails while KMS is asked would end the process, if nobody listened.
    void this.#ask();
    if (!signal) return;
    let reject: (reason: unknown) => void;
    this.#aborted = new Promise<never>((_, no) => {
      reject = no;
    });
    this.#aborted.catch(() => undefined);
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    this.#release = () => signal.removeEventListener("abort", abort);
  }

  /** Exactly so many bytes. @throws {BrokenMessage} where they end before */
  async take(length: number): Promise<Uint8Array> {
    const bytes = await this.takeUpTo(length);
    if (bytes.length < length) throw new BrokenMessage("the message ends before its end");
    return bytes;
  }

  /** So many bytes, or fewer where they end. */
  async takeUpTo(length: number): Promise<Uint8Array> {
    if (this.#piece.length < length) await this.#pull();
    if (this.#piece.length >= length || this.#isDone) return this.#cut(length);
    const parts: Uint8Array[] = [];
    for (let missing = length; missing > 0 && (this.#piece.length > 0 || !this.#isDone); ) {
      const part = this.#cut(missing);
      if (part.length > 0) parts.push(part);
      missing -= part.length;
      if (missing > 0) await this.#pull();
    }
    return concat(...parts);
  }

  async isAtEnd(): Promise<boolean> {
    await this.#pull();
    return this.#piece.length === 0 && this.#isDone;
  }

  /** Lets the stream go, also one that has not ended. */
  async close(): Promise<void> {
    this.#release();
    if (this.#isDone) return;
    this.#isDone = true;
    const isWaiting = this.#pending !== undefined;
    // What waits for bytes that do not come would not return either; a Node stream can be told.
    if (isWaiting && "destroy" in this.#stream) (this.#stream as { destroy(): void }).destroy();
    const returned = Promise.resolve(this.#iterator.return?.());
    if (isWaiting) returned.catch(() => undefined);
    else await returned;
  }

  #cut(length: number): Uint8Array {
    const bytes = this.#piece.subarray(0, length);
    this.#piece = this.#piece.subarray(length);
    return bytes;
  }

  /** Leaves a piece that is not empty, or the end. */
  async #pull(): Promise<void> {
    while (this.#piece.length === 0 && !this.#isDone) {
      const next = this.#pending ?? this.#ask();
      const { done, value } = await (this.#aborted === undefined ? next : Promise.race([next, this.#aborted]));
      this.#pending = undefined;
      if (done) this.#isDone = true;
      else if (value instanceof Uint8Array) this.#piece = value;
      else throw new TypeError(`a stream of bytes gave ${typeof value}`);
    }
  }

  #ask(): Pull {
    const next = Promise.resolve().then(() => this.#iterator.next());
    next.catch(() => undefined); // it is awaited later, or never
    this.#pending = next;
    return next;
  }
}
