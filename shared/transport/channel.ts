/**
 * Requests with answers, and events without, over one `Duplex`.
 *
 *   request {"method","params"}   →   response <result>   or   error {"code"}
 *   event   {"name","body"}       →   nothing
 *
 * The side that opens the channel asks; the other answers. An answer that no question waits for, a question's number
 * used twice, a frame of the wrong type: the stream is not what it claims to be and is closed. A question that ran out
 * of time keeps its number until its late answer has come and gone. An error carries a code and nothing else.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../errors/transport.ts";
import type { Frame } from "./frame.ts";
import { FrameStream, type FrameStreamOptions } from "./frame-stream.ts";
import { isJsonObject, type Json } from "./json.ts";

/** How many requests may be unanswered on a channel, on either side. */
export const OUTSTANDING_MAX = 256;
const REQUEST_TIMEOUT_MS = 10_000;

export interface ChannelOptions extends FrameStreamOptions {
  /** Who is at the other end, for errors. */
  readonly peer: string;
}

export interface RequestOptions {
  /** How long to wait for the answer, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly resolve: (result: Json) => void;
  readonly refuse: (code: string) => void;
  readonly reject: (error: unknown) => void;
}

function protocolError(rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule });
}

/** The asking end. */
export class Channel implements AsyncDisposable {
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>;
  readonly #stream: FrameStream;
  readonly #peer: string;
  /** By number; `undefined` for a request that was given up and whose answer is still to come. */
  readonly #waiting = new Map<number, Waiting | undefined>();
  #lastId = 0;
  #fault: unknown;

  constructor(socket: Duplex, options: ChannelOptions) {
    this.#peer = options.peer;
    const { promise, resolve } = withResolvers();
    this.closed = promise;
    const onClose = (fault: Error | undefined): void => {
      this.#abandon(fault);
      resolve();
    };
    this.#stream = new FrameStream(
      socket,
      { onFrame: (frame) => this.#answered(frame), onEnd: () => this.#stream.end(), onClose },
      options,
    );
  }

  /**
   * Asks and waits for the answer. A signal that aborts rejects with the signal's reason.
   *
   * @throws {TransportError} `ERR_TRANSPORT_REQUEST_REFUSED`, `ERR_TRANSPORT_TIMEOUT`, `ERR_TRANSPORT_CLOSED`,
   * `ERR_TRANSPORT_BUSY`, or the fault that ended the channel
   */
  async request(method: string, params: Json, options: RequestOptions = {}): Promise<Json> {
    const { timeoutMs = REQUEST_TIMEOUT_MS, signal } = options;
    signal?.throwIfAborted();
    if (!this.#stream.writable) throw this.#gone();
    if (this.#waiting.size >= OUTSTANDING_MAX) {
      throw new TransportError("ERR_TRANSPORT_BUSY", { limit: OUTSTANDING_MAX });
    }
    const id = this.#lastId + 1;
    this.#stream.write({ type: "request", id, body: { method, params } });
    this.#lastId = id;
    try {
      return await this.#answer(id, method, timeoutMs, signal);
    } finally {
      if (this.#waiting.get(id) !== undefined) this.#waiting.set(id, undefined);
    }
  }

  #answer(id: number, method: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Json> {
    return new Promise<Json>((resolve, reject) => {
      const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: `${this.#peer} (${method})`, timeoutMs });
      const timer = setTimeout(() => settle(() => reject(late)), timeoutMs);
      const onAbort = (): void => settle(() => reject(signal?.reason));
      const settle = (outcome: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        outcome();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(id, {
        resolve: (result) => settle(() => resolve(result)),
        refuse: (refusal) =>
          settle(() => reject(new TransportError("ERR_TRANSPORT_REQUEST_REFUSED", { method, refusal }))),
        reject: (error) => settle(() => reject(error)),
      });
    });
  }

  /**
   * Sends an event; false when the peer reads too slowly, and `drained` then tells when to go on.
   *
   * @throws {TransportError} `ERR_TRANSPORT_FRAME_TOO_LARGE`, `ERR_TRANSPORT_CLOSED`
   */
  event(name: string, body: Json): boolean {
    if (!this.#stream.writable) throw this.#gone();
    return this.#stream.write({ type: "event", id: 0, body: { name, body } });
  }

  /** Resolves when the peer has caught up, or is gone. */
  async drained(): Promise<void> {
    if (!this.#stream.congested) return;
    await Promise.race([new Promise<void>((resolve) => this.#stream.onceDrained(resolve)), this.closed]);
  }

  /** Sends what was written, ends the channel, and waits until the socket is gone: at most five seconds. */
  async close(): Promise<void> {
    this.#stream.end();
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #answered({ type, id, body }: Frame): void {
    if (type !== "response" && type !== "error") {
      this.#stream.fail(protocolError("the answering side sends responses and errors"));
    } else if (!this.#waiting.has(id)) {
      this.#stream.fail(protocolError("no request waits for this answer"));
    } else {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (type === "response") waiting?.resolve(body);
      else waiting?.refuse(refusalOf(body));
    }
  }

  #gone(): unknown {
    return this.#fault ?? new TransportError("ERR_TRANSPORT_CLOSED", { address: this.#peer });
  }

  #abandon(fault: Error | undefined): void {
    const own = fault instanceof TransportError;
    const details = { address: this.#peer };
    this.#fault = own ? fault : new TransportError("ERR_TRANSPORT_CLOSED", details, { cause: fault });
    for (const waiting of this.#waiting.values()) waiting?.reject(this.#fault);
    this.#waiting.clear();
  }
}

/** The code in an error frame, if it has the form of one. */
function refusalOf(body: Json): string {
  const code = isJsonObject(body) ? body["code"] : undefined;
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : "ERR_UNSPECIFIED";
}

/** Opens the asking end of a channel over a connected socket. */
export function openChannel(socket: Duplex, options: ChannelOptions): Channel {
  return new Channel(socket, options);
}

export function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
