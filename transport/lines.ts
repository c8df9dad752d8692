/**
 * Cuts a stream of bytes into lines of UTF-8 text, each of so many bytes at most.
 *
 * What comes byte by byte takes no more room than what comes at once; what stands after the last line's end is no line.
 *
 * @module
 */
import type { Readable } from "node:stream";

const LINE_FEED = 10;

/** Leaving the loop destroys the input. @throws {RangeError} a line is longer @throws {TypeError} it is not UTF-8 */
export async function* readLines(input: Readable, maxLineBytes: number): AsyncGenerator<string, void, undefined> {
  let room = Buffer.alloc(1_024);
  let size = 0;
  const add = (bytes: Uint8Array): void => {
    const wanted = size + bytes.length;
    if (wanted > maxLineBytes) throw new RangeError(`a line has more than ${maxLineBytes} bytes`);
    if (wanted > room.length) {
      const larger = Buffer.alloc(Math.max(wanted, 2 * room.length));
      larger.set(room.subarray(0, size));
      room = larger;
    }
    room.set(bytes, size);
    size = wanted;
  };
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    let rest = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      add(rest.subarray(0, end));
      const line = new TextDecoder("utf-8", { fatal: true }).decode(room.subarray(0, size));
      size = 0;
      if (room.length > 65_536) room = Buffer.alloc(1_024);
      yield line;
      rest = rest.subarray(end + 1);
    }
    add(rest);
  }
}
