/**
 * Log lines to standard output, one JSON object a line: what journald, a container's log driver or `jq` reads.
 *
 * A reader that is slow makes lines wait, then drop; it does not hold up the parent. A reader that went away ends the
 * destination, not the process.
 *
 * @module
 */
import type { Writable } from "node:stream";
import { type DeliveryOptions, deliverTo, type LogDestination, type Place, Undeliverable } from "./delivery.ts";
import type { Line } from "./line-queue.ts";

export interface StdoutOptions extends DeliveryOptions {
  /** Default `process.stdout`. */
  readonly stream?: Writable;
}

const BATCH_BYTES_MAX = 65_536;
const LINE_BYTES_MAX = 262_144;

export function toStdout(options: StdoutOptions = {}): LogDestination {
  const { stream = process.stdout, ...delivery } = options;
  // Without a listener, a reader that goes away would end the process (EPIPE).
  const ignore = (): void => {};
  stream.on("error", ignore);
  const place: Place = {
    lingerMs: 0,
    lineBytesMax: LINE_BYTES_MAX,
    cut: (lines) => fitting(lines, BATCH_BYTES_MAX),
    deliver: (batch, signal) => writeTo(stream, { batch, signal }),
  };
  return deliverTo(place, delivery);
}

/** How many lines of the head, with their ends, have at most so many bytes. */
export function fitting(lines: readonly Line[], bytesMax: number): number {
  let bytes = 0;
  for (const [index, line] of lines.entries()) {
    bytes += line.bytes + 1;
    if (bytes > bytesMax) return index;
  }
  return lines.length;
}

/** The lines as they stand in a file. */
export function textOf(lines: readonly Line[]): string {
  return lines.map(({ text }) => `${text}\n`).join("");
}

interface Batch {
  readonly batch: readonly Line[];
  readonly signal: AbortSignal;
}

function writeTo(stream: Writable, { batch, signal }: Batch): Promise<number> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed || stream.writableEnded) throw new Undeliverable("the reader is gone");
    const giveUp = (): void => reject(new Undeliverable("the reader does not read"));
    signal.addEventListener("abort", giveUp, { once: true });
    stream.write(textOf(batch), (error) => {
      signal.removeEventListener("abort", giveUp);
      if (error) reject(new Undeliverable("the reader is gone"));
      else resolve(0);
    });
  });
}
