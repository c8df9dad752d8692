/**
 * Reaches a Nitro Secure Module behind a Unix socket: the device's own CBOR, each message after its length.
 *
 * What answers there is not decided here: trust follows from the root that a verifier names, never from the path.
 * An answer that is late, too large or unasked for ends the connection, and every later call is refused.
 *
 * @module
 */
import { connect, type Socket } from "node:net";
import { NsmError } from "../../shared/errors/nsm.ts";
import { isTransportError } from "../../shared/errors/transport.ts";
import { createNsm } from "../../shared/nsm/client.ts";
import { NSM_RESPONSE_MAX, type NsmDevice } from "../../shared/nsm/device.ts";
import { NsmFrameReader, nsmFrame } from "../../shared/nsm/frame.ts";

export interface NsmSocketOptions {
  /** How long to wait for the connection and for each answer, in milliseconds. Default 10 000: NSM answers in 10. */
  readonly timeoutMs?: number;
}

/**
 * @throws {NsmError} `ERR_NSM_UNAVAILABLE`
 */
export async function openNsmSocket(path: string, { timeoutMs = 10_000 }: NsmSocketOptions = {}): Promise<NsmDevice> {
  const connection = new NsmConnection(path, timeoutMs);
  await connection.opened;
  return createNsm(
    (request) => connection.exchange(request),
    () => connection.close(),
  );
}

interface Waiting {
  readonly resolve: (response: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

class NsmConnection {
  readonly opened: Promise<void>;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #socket: Socket;
  readonly #reader = new NsmFrameReader(NSM_RESPONSE_MAX);
  readonly #ended: Promise<void>;
  #waiting: Waiting | undefined;
  #failure: NsmError | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, timeoutMs: number) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    this.#socket = connect({ path });
    this.#ended = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.opened = this.#wait(() => undefined).then(() => undefined);
    this.#socket.once("connect", () => this.#settle(new Uint8Array()));
    this.#socket.on("data", (chunk) => this.#receive(chunk));
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message, error));
    this.#socket.on("close", () => this.#fail("the connection was closed"));
  }

  exchange(request: Uint8Array): Promise<Uint8Array> {
    if (this.#failure) return Promise.reject(this.#failure);
    return this.#wait(() => this.#socket.write(nsmFrame(request)));
  }

  async close(): Promise<void> {
    this.#fail("closed");
    await this.#ended;
  }

  #wait(start: () => unknown): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#timer = setTimeout(() => this.#fail(`no answer in ${this.#timeoutMs} ms`), this.#timeoutMs);
      start();
    });
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const response of this.#reader.push(chunk)) this.#settle(response);
    } catch (error) {
      if (!isTransportError(error)) throw error;
      this.#fail("", error, this.#malformed(error.message, error));
    }
  }

  #settle(response: Uint8Array): void {
    const waiting = this.#waiting;
    if (!waiting) {
      this.#fail("", undefined, this.#malformed("an answer that nobody asked for"));
      return;
    }
    this.#waiting = undefined;
    clearTimeout(this.#timer);
    waiting.resolve(response);
  }

  #malformed(rule: string, cause?: unknown): NsmError {
    return new NsmError("ERR_NSM_RESPONSE_MALFORMED", { operation: "exchange", rule }, { cause });
  }

  #fail(reason: string, cause?: unknown, error?: NsmError): void {
    this.#failure ??= error ?? new NsmError("ERR_NSM_UNAVAILABLE", { device: this.#path, reason }, { cause });
    clearTimeout(this.#timer);
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}
