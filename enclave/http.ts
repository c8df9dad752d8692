/**
 * Serves a web-standard handler, `(request: Request) => Promise<Response>`, over HTTP on any transport.
 *
 * Bounded: body size, header size and time, and requests at once. An error becomes `{ code, message, details }` when it
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
  readonly handler: Handler;
  /** Told of each error that is not a refusal of this toolkit; gets no request content. */
  readonly onInternalError: (error: unknown) => void;
  /** Largest request body in bytes. Default 64 MiB. */
  readonly bodyMax?: number;
  /** Requests at once, further ones get 503. Default 64. */
  readonly concurrencyMax?: number;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 300_000;

export async function serveHttp(options: ServeOptions): Promise<Listener> {
  const { transport, address, handler, onInternalError, bodyMax = 64 * 1024 * 1024, concurrencyMax = 64 } = options;
  let active = 0;
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: 16_384 },
    (incoming, outgoing) => {
      if (active >= concurrencyMax) return void outgoing.writeHead(503, { "retry-after": "1" }).end();
      active++;
      const done = answer(incoming, outgoing, { handler, bodyMax, onInternalError });
      done.finally(() => active--).catch(() => outgoing.destroy());
    },
  );
  const listener = await transport.listen(address, (socket: Duplex) => void server.emit("connection", socket));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await listener.close();
  };
  return { address: listener.address, close, [Symbol.asyncDispose]: close };
}

async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { handler, bodyMax, onInternalError }: Required<Pick<ServeOptions, "handler" | "bodyMax" | "onInternalError">>,
): Promise<void> {
  try {
    const body = await readBody(incoming, bodyMax);
    if (body === undefined) return void outgoing.writeHead(413, { connection: "close" }).end();
    await write(outgoing, await handler(toRequest(incoming, body)));
  } catch (error) {
    if (outgoing.headersSent) return void outgoing.destroy();
    if (!isToolkitError(error)) onInternalError(error);
    await write(outgoing, refusal(error));
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

/** The whole body, or `undefined` when it is larger than `maximum`; stops reading there. */
async function readBody(incoming: IncomingMessage, maximum: number): Promise<Uint8Array | undefined> {
  if (Number(incoming.headers["content-length"] ?? 0) > maximum) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += (chunk as Buffer).length;
    if (size > maximum) return undefined;
    chunks.push(chunk as Buffer);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function toRequest(incoming: IncomingMessage, body: Uint8Array): Request {
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
  return new Request(url, { method, headers: list, ...(hasBody && { body: Uint8Array.from(body) }) });
}

async function write(outgoing: ServerResponse, response: Response): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), "content-length": body.length });
  outgoing.end(body);
}
