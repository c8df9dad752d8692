/**
 * Serves a web-standard handler, `(request: Request) => Response`, over HTTP on any transport, with TLS inside or without.
 *
 * Bounded: connections, requests and bytes at once, the size and time of each. It ends in order: no new connections, what
 * is under way finishes, and at a deadline the rest is cut.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Address } from "../../shared/transport/address.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";
import { BodyBudget } from "./body-budget.ts";
import { type Answering, answer, type Handler, refuse } from "./exchange.ts";
import type { ServerTls } from "./server-tls.ts";

export type { Handler } from "./exchange.ts";

export interface ServeOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served: the parent. */
  readonly allowedCids?: readonly number[];
  readonly handler: Handler;
  /** Told of each error that is not a refusal of this toolkit, with the number that the client gets instead. */
  readonly onInternalError: (error: unknown, id: string) => void;
  readonly limits?: ServeLimits;
  /** Ends TLS here. Without it the parent reads what crosses: answers must then be sealed or signed. */
  readonly tls?: ServerTls;
}

/** Operational limits; each has a default that suits one application behind one parent. */
export interface ServeLimits {
  /** Largest request body in bytes. Default 64 MiB. */
  readonly bodyMax?: number;
  /** Bytes of bodies read by requests that are under way; further ones get 503. Default 256 MiB. */
  readonly bodiesMax?: number;
  /** Requests at once; further ones get 503. A handler that does not end keeps its place. Default 64. */
  readonly concurrencyMax?: number;
  /** Connections at once; further ones are closed. Default 256. */
  readonly connectionsMax?: number;
  /** For the head of a request, in milliseconds. Default 10 000. */
  readonly headersTimeoutMs?: number;
  /** For a whole request with its body, and again for sending the answer, in milliseconds. Default 60 000. */
  readonly requestTimeoutMs?: number;
}

/** A server that runs. `close` cuts what is under way. */
export interface HttpServer extends Listener {
  /** Takes no more connections and requests, and waits for those under way; at the deadline it cuts the rest. */
  drain(deadlineMs: number): Promise<{ readonly forced: number }>;
}

const MIB = 1_048_576;

/**
 * @throws {RangeError} a limit that is no whole number of 1 or more
 * @throws {TransportError} the address can not be bound
 */
export async function serveHttp(options: ServeOptions): Promise<HttpServer> {
  const serving = new Serving(options);
  await serving.listen();
  return serving;
}

class Serving implements HttpServer {
  readonly #options: ServeOptions;
  readonly #limits: Required<ServeLimits>;
  readonly #answering: Answering;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  #active = 0;
  #draining = false;
  #listener: Listener | undefined;

  constructor(options: ServeOptions) {
    const { handler, onInternalError, tls } = options;
    this.#options = options;
    this.#limits = readLimits(options.limits ?? {});
    this.#answering = {
      ...{ handler, onInternalError },
      budget: new BodyBudget(this.#limits),
      scheme: tls === undefined ? "http" : "https",
    };
    this.#server = this.#createServer();
  }

  get address(): Address {
    return this.#listener?.address ?? this.#options.address;
  }

  async listen(): Promise<void> {
    const { transport, address, allowedCids } = this.#options;
    const onConnection = (socket: Duplex): void => this.#connected(socket);
    this.#listener = await transport.listen(address, onConnection, allowedCids && { allowedCids });
  }

  stopAccepting(): void {
    this.#listener?.stopAccepting();
  }

  async drain(deadlineMs: number): Promise<{ readonly forced: number }> {
    this.stopAccepting();
    this.#draining = true;
    this.#server.closeIdleConnections();
    let forced = 0;
    let cut: () => void = () => {};
    const late = new Promise<void>((resolve) => {
      cut = resolve;
    });
    const timer = setTimeout(() => {
      forced = this.#sockets.size;
      cut();
    }, deadlineMs);
    const ended = [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once("close", resolve)));
    await Promise.race([Promise.all(ended), late]);
    clearTimeout(timer);
    await this.close();
    return { forced };
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await this.#listener?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #createServer(): Server {
    const { headersTimeoutMs, requestTimeoutMs } = this.#limits;
    const timeouts = { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs };
    const checks = { connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs), maxHeaderSize: 16_384 };
    const server = createServer({ ...timeouts, ...checks }, (incoming, outgoing) => this.#request(incoming, outgoing));
    // The server gets its sockets from the transport and never listens itself; its timeouts begin with this event.
    server.emit("listening");
    return server;
  }

  #connected(socket: Duplex): void {
    if (this.#draining || this.#sockets.size >= this.#limits.connectionsMax) return void socket.destroy();
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const { tls } = this.#options;
    if (tls === undefined) return void this.#server.emit("connection", socket);
    socket.on("error", () => {});
    tls.accept(socket).then(
      (secured) => {
        if (this.#draining) return void secured.destroy();
        secured.once("close", () => socket.destroy());
        this.#server.emit("connection", secured);
      },
      () => socket.destroy(),
    );
  }

  #request(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { concurrencyMax, requestTimeoutMs } = this.#limits;
    const sending = setTimeout(() => outgoing.destroy(), 2 * requestTimeoutMs);
    outgoing.once("close", () => {
      clearTimeout(sending);
      if (this.#draining) incoming.socket.destroySoon();
    });
    if (this.#draining || this.#active >= concurrencyMax) {
      refuse(outgoing, 503);
      return;
    }
    this.#active++;
    const handler: Handler = (request) => this.#handle(request, incoming);
    answer(incoming, outgoing, { ...this.#answering, handler })
      .finally(() => this.#active--)
      .catch(() => outgoing.destroy());
  }

  async #handle(request: Request, { socket }: IncomingMessage): Promise<Response> {
    const { tls, handler } = this.#options;
    return (await tls?.handle(request, socket as TLSSocket)) ?? handler(request);
  }
}

function readLimits(given: ServeLimits): Required<ServeLimits> {
  for (const [name, value] of Object.entries(given)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`limits.${name} is 1 or more, not ${value}`);
  }
  const { bodyMax = 64 * MIB, bodiesMax = 256 * MIB, concurrencyMax = 64, connectionsMax = 256 } = given;
  const { requestTimeoutMs = 60_000, headersTimeoutMs = Math.min(10_000, requestTimeoutMs) } = given;
  return { bodyMax, bodiesMax, concurrencyMax, connectionsMax, requestTimeoutMs, headersTimeoutMs };
}
