/**
 * Frames over a `Duplex`: what both ends of a channel share.
 *
 * A frame under way has a deadline that grows with its size, so a peer that sends a byte a second holds nothing for
 * long. The first fault ends the stream, once; `onClose` tells it. Ending is polite first (the peer gets all that was
 * written) and final after five seconds.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../errors/transport.ts";
import { encodeFrame, FRAME_MAX, type Frame, FrameDecoder } from "./frame.ts";

/** From the first byte of a frame, in milliseconds; one more second for each 64 KiB still missing. */
const FRAME_DEADLINE_MS = 5_000;
const BYTES_PER_SECOND_MIN = 65_536;
/** How long a peer may take to end its direction after this side ended its own, in milliseconds. */
const LINGER_MS = 5_000;

/** Sees the bytes as they cross. */
export type FrameTap = (direction: "received" | "sent", bytes: Uint8Array) => void;

export interface FrameStreamOptions {
  /** Largest frame, in bytes. Default 1 MiB, at most 16 MiB. */
  readonly maxFrameBytes?: number;
  readonly tap?: FrameTap | undefined;
}

export interface FrameStreamEvents {
  readonly onFrame: (frame: Frame) => void;
  /** The peer ended its direction between two frames. */
  readonly onEnd: () => void;
  /** The socket is gone; with the fault that ended it, if one did. */
  readonly onClose: (fault: Error | undefined) => void;
}

export class FrameStream {
  readonly #socket: Duplex;
  readonly #events: FrameStreamEvents;
  readonly #decoder: FrameDecoder;
  readonly #maxBytes: number;
  readonly #tap: FrameTap | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #fault: Error | undefined;
  #paused = false;
  #gone = false;

  constructor(socket: Duplex, events: FrameStreamEvents, options: FrameStreamOptions = {}) {
    const { maxFrameBytes = FRAME_MAX, tap } = options;
    this.#socket = socket;
    this.#events = events;
    this.#maxBytes = maxFrameBytes;
    this.#tap = tap;
    this.#decoder = new FrameDecoder((frame) => {
      if (this.#fault === undefined) events.onFrame(frame);
    }, maxFrameBytes);
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.once("end", () => this.#ended());
    socket.on("error", (error) => this.fail(error));
    socket.once("close", () => this.#closed());
    if (socket.destroyed) queueMicrotask(() => this.#closed());
  }

  /** Whether writes are taken; false once either side has ended or failed. */
  get writable(): boolean {
    return this.#socket.writable && this.#fault === undefined;
  }

  /** Whether the peer reads more slowly than this side writes. */
  get congested(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /**
   * Writes a frame; false asks to wait for `onceDrained`.
   *
   * @throws {TransportError} `ERR_TRANSPORT_FRAME_TOO_LARGE`
   */
  write(frame: Frame): boolean {
    const bytes = encodeFrame(frame, this.#maxBytes);
    if (!this.writable) return false;
    this.#tap?.("sent", bytes);
    return this.#socket.write(bytes);
  }

  onceDrained(listener: () => void): void {
    this.#socket.once("drain", listener);
  }

  /** Reads no further until the peer has taken what was written. The peer's frame under way has no deadline then. */
  pauseUntilDrained(): void {
    if (this.#paused) return;
    this.#paused = true;
    clearTimeout(this.#deadline);
    this.#socket.pause();
    this.onceDrained(() => {
      this.#paused = false;
      this.#watch(false);
      this.#socket.resume();
    });
  }

  /** Ends this direction; destroys the socket when the peer does not follow. */
  end(): void {
    if (this.#socket.destroyed || this.#linger !== undefined) return;
    this.#linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.end();
  }

  /** Ends everything at once. Only the first fault counts. */
  fail(fault: Error): void {
    this.#fault ??= fault;
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    this.#tap?.("received", chunk);
    if (this.#fault !== undefined) return;
    const before = this.#decoder.missing;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.fail(error as Error);
      return;
    }
    this.#watch(before > 0 && chunk.length < before);
  }

  /** Arms the deadline of the frame under way; one that goes on keeps the deadline it has until its size is known. */
  #watch(sameFrame: boolean): void {
    const { missing } = this.#decoder;
    const sized = missing > 4;
    if (sameFrame && this.#deadline !== undefined) return;
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    if (missing === 0 || this.#paused) return;
    const timeoutMs = FRAME_DEADLINE_MS + (sized ? Math.ceil((missing / BYTES_PER_SECOND_MIN) * 1_000) : 0);
    this.#deadline = setTimeout(
      () => this.fail(new TransportError("ERR_TRANSPORT_FRAME_SLOW", { timeoutMs })),
      timeoutMs,
    );
  }

  #ended(): void {
    if (this.#fault !== undefined) return;
    try {
      this.#decoder.end();
    } catch (error) {
      this.fail(error as Error);
      return;
    }
    this.#events.onEnd();
  }

  #closed(): void {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#linger);
    this.#events.onClose(this.#fault);
  }
}
