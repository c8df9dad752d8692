/**
 * Hands request bodies to handlers as streams, and counts what was handed out: a body for itself, and all of them.
 *
 * A handler that reads slowly makes its client wait. What was read counts until the request is over, since the server can
 * not know what a handler keeps.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";

export interface BodyLimits {
  /** Bytes of one body. */
  readonly bodyMax: number;
  /** Bytes of all bodies of requests under way. */
  readonly bodiesMax: number;
}

/** The status that says which limit a body went beyond. */
export type BodyRefusal = 413 | 503;

export interface CountedBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** Set once a limit was met; the stream has then failed. */
  readonly refusal: BodyRefusal | undefined;
  /** Stops counting. */
  release(): void;
}

export class BodyBudget {
  readonly #limits: BodyLimits;
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** What the length that a request announces comes to. */
  refusalOf(incoming: IncomingMessage): BodyRefusal | undefined {
    const announced = Number(incoming.headers["content-length"] ?? 0);
    if (announced > this.#limits.bodyMax) return 413;
    return announced > this.#limits.bodiesMax - this.#held ? 503 : undefined;
  }

  open(incoming: IncomingMessage): CountedBody {
    let size = 0;
    let refusal: BodyRefusal | undefined;
    let isOver = false;
    const take = (bytes: number): void => {
      // Nobody would give back what is counted now.
      if (isOver) throw new RangeError("the request is over");
      if (size + bytes > this.#limits.bodyMax) refusal = 413;
      else if (this.#held + bytes > this.#limits.bodiesMax) refusal = 503;
      if (refusal !== undefined) throw new RangeError("the body is larger than this enclave takes");
      size += bytes;
      this.#held += bytes;
    };
    return {
      stream: ReadableStream.from(counted(incoming, take)),
      get refusal() {
        return refusal;
      },
      release: () => {
        this.#held -= size;
        size = 0;
        isOver = true;
      },
    };
  }
}

async function* counted(incoming: IncomingMessage, take: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  // Ending early must leave the socket: the answer still goes out by it.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    take(chunk.length);
    yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
  }
}
