/**
 * Lets a number of requests at once through to each server; the others wait here, in the order they came.
 *
 * Node's agent bounds connections by counting those that stand. Ours stand late, after a document, and a burst would open
 * one for each of its requests. Behind this gate a request finds an idle connection or opens one, and there are never more
 * connections in use than requests let through. Node's own queue stays empty: what it holds is passed to a connection
 * without asking for its age, and left where it is when a connection fails.
 *
 * @module
 */
import type { ClientRequest } from "node:http";
import { TransportError } from "../shared/errors/transport.ts";

interface Waiting {
  readonly request: ClientRequest;
  /** Hands it to the connections. */
  readonly pass: () => void;
}

interface Lane {
  underWay: number;
  readonly waiting: Waiting[];
}

export class RequestGate {
  readonly #limit: number;
  readonly #lanes = new Map<string, Lane>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  enter(server: string, waiting: Waiting): void {
    const lane = this.#lanes.get(server) ?? { underWay: 0, waiting: [] };
    this.#lanes.set(server, lane);
    lane.waiting.push(waiting);
    this.#advance(server, lane);
  }

  /** Fails all that wait. */
  refuse(reason: Error): void {
    for (const { waiting } of this.#lanes.values()) {
      for (const { request } of waiting.splice(0)) fail(request, reason);
    }
  }

  #advance(server: string, lane: Lane): void {
    while (lane.underWay < this.#limit) {
      const next = lane.waiting.shift();
      if (!next) break;
      this.#pass(next, { server, lane });
    }
    if (lane.underWay === 0 && lane.waiting.length === 0) this.#lanes.delete(server);
  }

  #pass({ request, pass }: Waiting, { server, lane }: { readonly server: string; readonly lane: Lane }): void {
    if (request.destroyed) return void fail(request, new TransportError("ERR_TRANSPORT_CLOSED", { address: server }));
    lane.underWay++;
    // Its connection is put back right after: whoever comes next shall find it.
    const leave = (): void => {
      lane.underWay--;
      this.#advance(server, lane);
    };
    request.once("close", () => queueMicrotask(leave));
    try {
      pass();
    } catch (error) {
      fail(request, error as Error);
    }
  }
}

/** As Node's agent does it: a request without a connection hears of nothing else. */
function fail(request: ClientRequest, reason: Error): void {
  (request as unknown as { onSocket(socket: undefined, reason: Error): void }).onSocket(undefined, reason);
}
