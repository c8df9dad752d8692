/**
 * Serves a web-standard handler, `(request: Request) => Promise<Response>`, over HTTP on any transport.
 *
 * Bounded: connections, requests and bytes at once, the size and time of each. An error becomes `{ code, message, details }` when it
 * is a refusal of this toolkit, whose details are log-safe, and the bare code `ERR_INTERNAL` otherwise: nothing leaks.
 *
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { isToolkitError, type RefusalKind } from "../shared/errors/index.ts";
import type { Address } from "../shared/transport/address.ts";
import type { Listener, Transport } from "../shared/transport/transport.ts";

export type Handler = (request: Request) => Promise<Response>;

export interface ServeOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served: the parent. */
  readonly allowedCids?: readonly number[];
  readonly handler: Handler;
  /** Told of each error that is not a refusal of this toolkit; gets no request content. */
  readonly onInternalError: (error: unknown) => void;
  readonly limits?: ServeLimits;
}

/** Operational limits; each has a default that suits one application behind one parent. */
export interface ServeLimits {
  /** Largest request body in bytes. Default 64 MiB. */
  readonly bodyMax?: number;
  /** Bytes of bodies at once as they came, over all requests; further ones get 503. Default 256 MiB; memory is thrice. */
  readonly bodiesMax?: number;
  /** Requests at once; further ones get 503. Default 64. */
  readonly concurrencyMax?: number;
  /** Connections at once; further ones are closed. Default 256. */
  readonly connectionsMax?: number;
  /** For the head of a request, in milliseconds. Default 10 000. */
  readonly headersTimeoutMs?: number;
  /** For a whole request with its body, and again for sending the answer, in milliseconds. Default 60 000. */
  readonly requestTimeoutMs?: number;
}

/** Chunks of a body that are kept apart. */
const CHUNKS_MAX = 1_024;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export async function serveHttp({
  transport,
  address,
  allowedCids,
  handler,
  onInternalError,
  limits = {},
}: ServeOptions): Promise<Listener> {
  const { concurrencyMax = 64, connectionsMax = 256, requestTimeoutMs = 60_000 } = limits;
  const { headersTimeoutMs = Math.min(10_000, requestTimeoutMs) } = limits;
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`limits.${name} is 1 or more, not ${value}`);
  }
  const budget = new BodyBudget(limits);
  const sockets = new Set<Duplex>();
  let active = 0;
  const timeouts = { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs };
  const checkEvery = Math.min(1_000, headersTimeoutMs);
  const server = createServer(
    { ...timeouts, connectionsCheckingInterval: checkEvery, maxHeaderSize: 16_384 },
    (incoming, outgoing) => {
      const sending = setTimeout(() => outgoing.destroy(), 2 * requestTimeoutMs);
      outgoing.once("close", () => clearTimeout(sending));
      if (active >= concurrencyMax) return void refuse(outgoing, 503);
      active++;
      const done = answer(incoming, outgoing, { handler, budget, onInternalError });
      done.finally(() => active--).catch(() => outgoing.destroy());
    },
  );
  // The server gets its sockets from the transport and never listens itself; its timeouts begin with this event.
  server.emit("listening");
  const onConnection = (socket: Duplex): void => {
    if (sockets.size >= connectionsMax) return void socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    server.emit("connection", socket);
  };
  const listener = await transport.listen(address, onConnection, allowedCids && { allowedCids });
  const close = async (): Promise<void> => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await listener.close();
  };
  const stopAccepting = (): void => listener.stopAccepting();
  return { address: listener.address, stopAccepting, close, [Symbol.asyncDispose]: close };
}

interface Answering {
  readonly handler: Handler;
  readonly budget: BodyBudget;
  readonly onInternalError: (error: unknown) => void;
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, answering: Answering): Promise<void> {
  const { handler, budget, onInternalError } = answering;
  if (!METHODS.includes(incoming.method ?? "")) return refuse(outgoing, 405);
  let held = 0;
  try {
    const body = await budget.read(incoming, (size) => (held += size));
    if (typeof body === "number") return refuse(outgoing, body);
    await write(outgoing, await handler(toRequest(incoming, body)));
  } catch (error) {
    // A client that went away is no fault of ours, and has nobody to tell.
    if (outgoing.headersSent || outgoing.destroyed || !incoming.complete) return void outgoing.destroy();
    if (!isToolkitError(error)) onInternalError(error);
    await write(outgoing, refusal(error));
  } finally {
    budget.release(held);
  }
}

function refuse(outgoing: ServerResponse, status: number): void {
  outgoing.writeHead(status, { connection: "close", "content-length": 0 }).end();
}

/** Counts the bytes of bodies that are held, over all requests. */
class BodyBudget {
  readonly #bodyMax: number;
  readonly #bodiesMax: number;
  #held = 0;

  constructor({ bodyMax = 64 * 1024 * 1024, bodiesMax = 256 * 1024 * 1024 }: ServeLimits) {
    this.#bodyMax = bodyMax;
    this.#bodiesMax = bodiesMax;
  }

  /** The whole body; or 413 or 503, without reading on. `hold` is told of each chunk that is kept. */
  async read(incoming: IncomingMessage, hold: (size: number) => void): Promise<Buffer | 413 | 503> {
    const announced = Number(incoming.headers["content-length"] ?? 0);
    if (announced > this.#bodyMax) return 413;
    if (announced > this.#bodiesMax - this.#held) return 503;
    let chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > this.#bodyMax) return 413;
      if (this.#held + chunk.length > this.#bodiesMax) return 503;
      this.#held += chunk.length;
      hold(chunk.length);
      chunks.push(chunk);
      // Many tiny chunks would weigh more than what they carry.
      if (chunks.length >= CHUNKS_MAX) chunks = [Buffer.concat(chunks)];
    }
    return Buffer.concat(chunks);
  }

  release(size: number): void {
    this.#held -= size;
  }
}

/** HTTP status by kind of refusal, as exit codes are for commands. */
const STATUS: Readonly<Record<RefusalKind, number>> = {
  usage: 400,
  "not authentic": 422,
  "refused by policy": 403,
  unreachable: 502,
  "host lacks": 503,
};

function refusal(error: unknown): Response {
  if (isToolkitError(error)) return Response.json(error.toJSON(), { status: STATUS[error.kind] });
  return Response.json({ code: "ERR_INTERNAL", message: "internal error", details: {} }, { status: 500 });
}

function toRequest(incoming: IncomingMessage, body: Buffer): Request {
  const { method = "GET", headers } = incoming;
  const list = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
  );
  const hasBody = method !== "GET" && method !== "HEAD";
  // Only the path is the client's: the authority is this enclave, whatever the Host header says.
  const url = new URL("http://enclave/");
  const [path = "/", query = ""] = (incoming.url ?? "/").split("?", 2);
  url.pathname = path;
  url.search = query;
  return new Request(url, { method, headers: list, ...(hasBody && { body: body as Uint8Array<ArrayBuffer> }) });
}

async function write(outgoing: ServerResponse, response: Response): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), "content-length": body.length });
  outgoing.end(body);
}
