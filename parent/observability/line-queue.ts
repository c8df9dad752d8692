/**
 * The lines that wait for a log destination: bounded in number and bytes, in order, every loss counted.
 *
 * A full queue drops the new line: what stands nearest to the cause is the older one. Where lines are missing, a line
 * says how many, as soon as there is room again.
 *
 * @module
 */
import { formatGap } from "./log-line.ts";

/** A line that waits. */
export interface Line {
  readonly text: string;
  readonly bytes: number;
  readonly atMs: number;
}

export interface QueueLimits {
  readonly linesMax: number;
  readonly bytesMax: number;
  /** A longer line is never taken. */
  readonly lineBytesMax: number;
}

export class LineQueue {
  readonly #limits: QueueLimits;
  #lines: Line[] = [];
  #bytes = 0;
  #untold = 0;
  /** How many lines were lost, since the start. */
  dropped = 0;
  /** How many lines came into the queue, and how many left it, since the start. */
  entered = 0;
  left = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get lines(): readonly Line[] {
    return this.#lines;
  }

  push(line: Line): void {
    const { linesMax, bytesMax, lineBytesMax } = this.#limits;
    if (line.bytes > lineBytesMax || this.#lines.length >= linesMax || this.#bytes + line.bytes > bytesMax) {
      this.lose();
      return;
    }
    this.tellGap(line.atMs);
    this.#add(line);
  }

  /** Counts an entry that never became a line. */
  lose(): void {
    this.dropped++;
    this.#untold++;
  }

  /** Puts a line about what was lost, if anything was since the last such line. */
  tellGap(atMs: number): void {
    if (this.#untold === 0) return;
    this.#add(toLine(formatGap(this.#untold, atMs), atMs));
    this.#untold = 0;
  }

  /** Takes lines off the head, of which `lost` did not arrive. */
  remove(count: number, lost: number): void {
    for (const { bytes } of this.#lines.splice(0, count)) this.#bytes -= bytes;
    this.left += count;
    this.dropped += lost;
  }

  #add(line: Line): void {
    this.#lines.push(line);
    this.#bytes += line.bytes;
    this.entered++;
  }
}

export function toLine(text: string, atMs: number): Line {
  return { text, bytes: Buffer.byteLength(text), atMs };
}
