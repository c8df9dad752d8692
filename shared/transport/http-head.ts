/**
 * Reads the head of an HTTP/1.1 message from a stream: the bytes up to and with the empty line, and no byte more.
 *
 * Both ends of the egress proxy use it, and each takes the other for hostile: at most 8 KiB, a deadline, lines of
 * printable ASCII that end in CR LF, no folding. What follows the head stays in the stream.
 *
 * Source: RFC 9112 §2.2, §3, §5; RFC 9110 §9.3.6 (CONNECT).
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { concat } from "../bytes.ts";
import { TransportError } from "../errors/transport.ts";

/** Largest head, in bytes. */
export const HEAD_MAX = 8_192;

export interface ReadHeadOptions {
  /** Who is read, for the error. */
  readonly address: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Sees what was read of the head, chunk by chunk, whether or not it becomes one. */
  readonly onBytes?: ((bytes: Uint8Array) => void) | undefined;
}

export interface Head {
  /** The first line. */
  readonly start: string;
  /** Names in lower case, in the order they came. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

function invalid(rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_PROXY_INVALID", { rule });
}

/** Where the head in `bytes` ends, or -1. `from` is how many bytes were searched before. */
function endOfHead(bytes: Uint8Array, from: number): number {
  for (let i = Math.max(3, from); i < bytes.length; i++) {
    if (bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 && bytes[i - 3] === 13) return i + 1;
  }
  return -1;
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_PROXY_INVALID` beyond 8 KiB, `ERR_TRANSPORT_CLOSED`, `ERR_TRANSPORT_TIMEOUT`
 */
export function readHead(socket: Duplex, options: ReadHeadOptions): Promise<Uint8Array> {
  const { address, timeoutMs, signal, onBytes } = options;
  return new Promise((resolve, reject) => {
    let seen: Uint8Array = new Uint8Array();
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off("data", onData).off("end", onClosed).off("close", onClosed);
      socket.pause();
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    const onClosed = (): void => fail(new TransportError("ERR_TRANSPORT_CLOSED", { address }));
    const onData = (chunk: Uint8Array): void => {
      const searched = seen.length;
      seen = concat(seen, chunk.subarray(0, HEAD_MAX - searched));
      const end = endOfHead(seen, searched);
      onBytes?.(end < 0 ? chunk : chunk.subarray(0, end - searched));
      if (end < 0) {
        if (seen.length >= HEAD_MAX) fail(invalid(`a head has at most ${HEAD_MAX} bytes`));
        return;
      }
      settle();
      const rest = chunk.subarray(end - searched);
      if (rest.length > 0) socket.unshift(rest);
      resolve(seen.subarray(0, end));
    };
    const timer = setTimeout(
      () => fail(new TransportError("ERR_TRANSPORT_TIMEOUT", { address, timeoutMs })),
      timeoutMs,
    );
    if (signal?.aborted) return onAbort();
    if (socket.destroyed) return onClosed();
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("end", onClosed).on("close", onClosed).on("data", onData);
  });
}

/**
 * Reads the lines of a head.
 *
 * @throws {TransportError} `ERR_TRANSPORT_PROXY_INVALID`
 */
export function parseHead(bytes: Uint8Array): Head {
  const text = String.fromCharCode(...bytes);
  if (!text.endsWith("\r\n\r\n")) throw invalid("a head ends with an empty line");
  const [start = "", ...lines] = text.slice(0, -4).split("\r\n");
  if (!/^[\x20-\x7e]+$/.test(start)) throw invalid("the first line is printable ASCII");
  const fields = lines.map((line): readonly [string, string] => {
    // Space before the value is part of what is captured: two parts that both match it would be tried in every division.
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e]*)$/.exec(line);
    if (!match) throw invalid("a header line is a name, a colon and printable ASCII");
    const [, name = "", value = ""] = match;
    return [name.toLowerCase(), value.trim()];
  });
  return { start, fields };
}
