/**
 * Lets one parser read an image wherever it is: in memory, or in a file of any size.
 *
 * A parser is a generator: it yields the range it wants to see and is given those bytes. `parseBytes` drives it over a
 * byte string, `parseSource` over anything that reads by position. The parser never learns which, and never waits.
 *
 * @module
 */

/** A file of fixed size, read by position. */
export interface EifSource {
  /** In bytes. */
  readonly size: number;
  /** Fills `into` with the bytes from `offset` on; throws where it can not fill it. */
  read(offset: number, into: Uint8Array): void | Promise<void>;
}

/** Bytes that a parser asks for. It asks for none outside the file. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

export type Parser<Result> = Generator<Range, Result, Uint8Array>;

/** Runs a parser over bytes in memory; what it is given are views. */
export function parseBytes<Result>(parser: Parser<Result>, bytes: Uint8Array): Result {
  let step = parser.next();
  while (!step.done) {
    const { offset, length } = step.value;
    step = parser.next(bytes.subarray(offset, offset + length));
  }
  return step.value;
}

/** Runs a parser over a source, one small read at a time. */
export async function parseSource<Result>(parser: Parser<Result>, source: EifSource): Promise<Result> {
  let step = parser.next();
  while (!step.done) {
    const bytes = new Uint8Array(step.value.length);
    await source.read(step.value.offset, bytes);
    step = parser.next(bytes);
  }
  return step.value;
}

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array): EifSource {
  return {
    size: bytes.length,
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
  };
}
