/**
 * Writes all that a tap sees to a file, as it comes, so that it can be searched.
 *
 * Chunks of several connections interleave. So that a search finds a string that the network cut in two, a chunk that
 * does not follow its own predecessor is preceded by that predecessor's last 4 KiB once more: every stretch of up to
 * 4 KiB that crossed stands in the file in one piece.
 *
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { ConfigError } from "../../shared/errors/index.ts";
import { codeOf, type Tap } from "./observe.ts";

const OVERLAP_BYTES = 4_096;
/** Of how many streams the end is remembered: those that spoke last. */
const STREAMS_MAX = 4_096;

export interface Capture extends Disposable {
  readonly tap: Tap;
  /** How many bytes crossed; those written twice count once. */
  bytes(): number;
  /** Why it stopped, if it did: a file that can not be written ends the capture, not what is captured. */
  failure(): string | undefined;
}

/** @throws {ConfigError} `ERR_CONFIG_FILE` */
export function openCapture(path: string): Capture {
  const file = openFile(path);
  const tails = new Map<string, Buffer>();
  let last = "";
  let seen = 0;
  let failure: string | undefined;
  let open = true;
  return {
    tap: (connectionId, direction, bytes) => {
      const stream = `${connectionId} ${direction}`;
      if (!open) return;
      const tail = tails.get(stream) ?? Buffer.alloc(0);
      try {
        if (stream !== last) writeAll(file, tail);
        writeAll(file, bytes);
      } catch (error) {
        failure = codeOf(error);
        open = false;
        return;
      }
      tails.delete(stream);
      tails.set(stream, endOf(tail, bytes));
      if (tails.size > STREAMS_MAX) tails.delete(tails.keys().next().value ?? "");
      last = stream;
      seen += bytes.length;
    },
    bytes: () => seen,
    failure: () => failure,
    [Symbol.dispose]: () => {
      open = false;
      closeSync(file);
    },
  };
}

function openFile(path: string): number {
  try {
    return openSync(path, "w", 0o600);
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: codeOf(cause) }, { cause });
  }
}

function endOf(before: Buffer, bytes: Uint8Array): Buffer {
  if (bytes.length >= OVERLAP_BYTES) return Buffer.from(bytes.subarray(-OVERLAP_BYTES));
  return Buffer.from(Buffer.concat([before, bytes]).subarray(-OVERLAP_BYTES));
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}
