/**
 * Reads a known number of bytes from a stream, and leaves the rest in it.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../errors/transport.ts";

export interface ReadExactlyOptions {
  /** Who is read, for the error. */
  readonly address: string;
  /** Ends the wait; the caller's deadline. */
  readonly signal: AbortSignal;
}

/**
 * Leaves the stream paused.
 *
 * @throws {TransportError} `ERR_TRANSPORT_CLOSED`
 */
export function readExactly(socket: Duplex, length: number, options: ReadExactlyOptions): Promise<Uint8Array> {
  const { address, signal } = options;
  const bytes = new Uint8Array(length);
  let filled = 0;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      socket.off("data", onData).off("end", onClosed).off("close", onClosed);
      socket.pause();
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const onClosed = (): void => fail(new TransportError("ERR_TRANSPORT_CLOSED", { address }));
    const onData = (chunk: Uint8Array): void => {
      const part = chunk.subarray(0, length - filled);
      bytes.set(part, filled);
      filled += part.length;
      if (filled < length) return;
      settle();
      if (chunk.length > part.length) socket.unshift(chunk.subarray(part.length));
      resolve(bytes);
    };
    if (length === 0) return resolve(bytes);
    if (signal.aborted) return onAbort();
    if (socket.destroyed) return onClosed();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("end", onClosed).on("close", onClosed).on("data", onData);
    socket.resume();
  });
}
