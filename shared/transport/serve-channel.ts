/**
 * The answering end of a channel (`channel.ts`).
 *
 * At most 256 requests are under way; more are answered `ERR_TRANSPORT_BUSY`. While the peer does not take its answers,
 * no further requests are read. When the peer ends its direction, every answer that is still to come is sent first.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { isToolkitError } from "../errors/toolkit-error.ts";
import { TransportError } from "../errors/transport.ts";
import { OUTSTANDING_MAX, withResolvers } from "./channel.ts";
import type { Frame } from "./frame.ts";
import { FrameStream, type FrameStreamOptions } from "./frame-stream.ts";
import { isJsonObject, type Json } from "./json.ts";

export interface ChannelHandlers {
  /** By method. What is thrown reaches the peer as a code: its own if it is one of this toolkit's errors. */
  readonly requests?: Readonly<Record<string, (params: Json, signal: AbortSignal) => Promise<Json> | Json>>;
  /** By name. */
  readonly events?: Readonly<Record<string, (body: Json) => void>>;
}

/** A channel that is being served. */
export interface ServedChannel {
  /** Resolves when the socket is gone, with the fault that ended it, if one did. */
  readonly closed: Promise<Error | undefined>;
  /** Ends the channel at once. */
  destroy(): void;
}

class Server {
  readonly #handlers: ChannelHandlers;
  readonly #stream: FrameStream;
  readonly #aborted = new AbortController();
  #underWay = 0;
  #lastId = 0;
  #ended = false;

  constructor(socket: Duplex, handlers: ChannelHandlers, options: FrameStreamOptions, onClose: (e?: Error) => void) {
    this.#handlers = handlers;
    this.#stream = new FrameStream(
      socket,
      {
        onFrame: (frame) => this.#take(frame),
        onEnd: () => this.#finish(),
        onClose: (fault) => {
          this.#aborted.abort(new TransportError("ERR_TRANSPORT_CLOSED", { address: "the asking peer" }));
          onClose(fault);
        },
      },
      options,
    );
  }

  destroy(fault: Error): void {
    this.#stream.fail(fault);
  }

  #take(frame: Frame): void {
    if (frame.type === "request") this.#request(frame);
    else if (frame.type === "event") this.#event(frame);
    else this.#refuse("the asking side sends requests and events");
  }

  #refuse(rule: string): void {
    this.#stream.fail(new TransportError("ERR_TRANSPORT_FRAME_INVALID", { rule }));
  }

  #event({ id, body }: Frame): void {
    const name = isJsonObject(body) ? body["name"] : undefined;
    const { events = {} } = this.#handlers;
    if (id !== 0 || !isJsonObject(body) || typeof name !== "string" || body["body"] === undefined) {
      this.#refuse("an event has id 0, a name and a body");
      return;
    }
    const handler = Object.hasOwn(events, name) ? events[name] : undefined;
    if (handler) handler(body["body"]);
    else this.#refuse("no such event");
  }

  #request({ id, body }: Frame): void {
    const method = isJsonObject(body) ? body["method"] : undefined;
    if (!isJsonObject(body) || typeof method !== "string" || body["params"] === undefined) {
      this.#refuse("a request has a method and params");
    } else if (id <= this.#lastId) {
      this.#refuse("each request has a higher id than the one before");
    } else {
      this.#lastId = id;
      if (this.#underWay < OUTSTANDING_MAX) this.#start(id, method, body["params"]);
      else this.#send({ type: "error", id, body: { code: "ERR_TRANSPORT_BUSY" } });
    }
  }

  #start(id: number, method: string, params: Json): void {
    this.#underWay++;
    void this.#run(method, params).then((answer) => {
      this.#underWay--;
      this.#send({ ...answer, id });
      if (this.#ended) this.#finish();
    });
  }

  async #run(method: string, params: Json): Promise<Pick<Frame, "type" | "body">> {
    const { requests = {} } = this.#handlers;
    const handler = Object.hasOwn(requests, method) ? requests[method] : undefined;
    if (!handler) return { type: "error", body: { code: "ERR_TRANSPORT_METHOD_UNKNOWN" } };
    try {
      return { type: "response", body: await handler(params, this.#aborted.signal) };
    } catch (error) {
      return { type: "error", body: { code: isToolkitError(error) ? error.code : "ERR_INTERNAL" } };
    }
  }

  #send(frame: Frame): void {
    try {
      this.#stream.write(frame);
    } catch (error) {
      // The answer is too large for a frame, or not JSON: the asking side must hear of it.
      const code = isToolkitError(error) ? error.code : "ERR_INTERNAL";
      this.#stream.write({ type: "error", id: frame.id, body: { code } });
    }
    if (this.#stream.congested) this.#stream.pauseUntilDrained();
  }

  #finish(): void {
    this.#ended = true;
    if (this.#underWay === 0) this.#stream.end();
  }
}

/** Serves the answering end of a channel over a connected socket, until the socket is gone. */
export function serveChannel(
  socket: Duplex,
  handlers: ChannelHandlers,
  options: FrameStreamOptions = {},
): ServedChannel {
  const gone = withResolvers();
  let fault: Error | undefined;
  const server = new Server(socket, handlers, options, (error) => {
    fault = error;
    gone.resolve();
  });
  return {
    closed: gone.promise.then(() => fault),
    destroy: () => server.destroy(new TransportError("ERR_TRANSPORT_CLOSED", { address: "this side" })),
  };
}
