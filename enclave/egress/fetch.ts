/**
 * `fetch` from inside an enclave: the web standard's call over the parent's proxy, TLS ending here under the image's roots.
 *
 *   https only · bodies are streams both ways · a signal ends it · no cookies, no cache
 *
 * Where the standard would follow a redirect, this gives the redirect itself: an answer does not decide where an enclave
 * connects next. An encoded body stays as the server sent it, and is not asked for. An answer whose end is told by the
 * end of the connection alone is refused: whoever carries the bytes could end it anywhere.
 *
 * @module
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { type Agent, request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isToolkitError, TransportError } from "../../shared/errors/index.ts";

/** The web standard's `fetch`. Fails with `TransportError`, or with the signal's reason. */
export type EgressFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export interface FetchOptions {
  readonly agent: Agent;
  /** How long a connection may say nothing, in milliseconds. Default 60 000. */
  readonly timeoutMs?: number;
}

/** What belongs to the connection and is not the caller's: a length least of all, which may be another message's. */
const OWN_HEADERS = [
  ...["host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "trailer", "expect", "te"],
];
/** Answers that have no body, whatever follows. Source: Fetch standard, "null body status". */
const NULL_BODY = [204, 205, 304];

export function createFetch({ agent, timeoutMs = 60_000 }: FetchOptions): EgressFetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.protocol !== "https:") throw new TypeError(`an enclave fetches over https, not ${url.protocol}`);
    request.signal.throwIfAborted();
    const body = await bodyOf(request, init);
    const port = Number(url.port || 443);
    const outgoing = httpsRequest({
      ...{ agent, port, method: request.method, signal: request.signal },
      host: url.hostname.replace(/^\[|\]$/g, ""),
      path: url.pathname + url.search,
      headers: headersOf(request, body),
    });
    // What goes out is what its head announces: the rest would be the next request here. In Node's types it is the server's alone.
    Object.assign(outgoing, { strictContentLength: true });
    const address = `${url.hostname}:${port}`;
    outgoing.setTimeout(timeoutMs, () =>
      outgoing.destroy(new TransportError("ERR_TRANSPORT_TIMEOUT", { address, timeoutMs })),
    );
    try {
      return toResponse(await exchange(outgoing, body), { url, method: request.method });
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason;
      if (isToolkitError(error) || !(error instanceof Error)) throw error;
      const reason = "code" in error ? String(error.code) : error.name;
      throw new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason }, { cause: error });
    }
  };
}

/** Bytes whose number is known go with it; some servers take no others. */
async function bodyOf(
  request: Request,
  init: RequestInit | undefined,
): Promise<Uint8Array | AsyncIterable<Uint8Array> | undefined> {
  if (request.body === null) return undefined;
  const given: unknown = init?.body;
  const isStream = given === undefined || given === null || isIterable(given);
  return isStream ? request.body : new Uint8Array(await request.arrayBuffer());
}

function isIterable(value: unknown): boolean {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function headersOf(request: Request, body: unknown): Record<string, string> {
  const kept = [...request.headers].filter(([name]) => !OWN_HEADERS.includes(name));
  const length = body instanceof Uint8Array ? { "content-length": String(body.length) } : {};
  return { ...Object.fromEntries(kept), ...length };
}

async function exchange(
  outgoing: ClientRequest,
  body: Uint8Array | AsyncIterable<Uint8Array> | undefined,
): Promise<IncomingMessage> {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve).on("error", reject);
    outgoing.once("upgrade", (_, socket) => {
      socket.destroy();
      reject(Object.assign(new Error("the answer is an upgrade"), { code: "EPROTO" }));
    });
    outgoing.once("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
  });
  if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
  // A server may answer before it has read all, and then end: the answer counts.
  else pipeline(body, outgoing).catch((error: Error) => outgoing.destroy(error));
  return answered;
}

interface Asked {
  readonly url: URL;
  readonly method: string;
}

function toResponse(incoming: IncomingMessage, { url, method }: Asked): Response {
  const headers = new Headers();
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2) {
    headers.append(incoming.rawHeaders[at] ?? "", incoming.rawHeaders[at + 1] ?? "");
  }
  const { statusCode: status = 0 } = incoming;
  const hasBody = !NULL_BODY.includes(status) && method !== "HEAD";
  if (hasBody && !isFramed(incoming)) {
    incoming.destroy();
    throw Object.assign(new Error("nothing says where the answer ends"), { code: "EPROTO" });
  }
  if (!hasBody) incoming.resume();
  const body = hasBody ? (Readable.toWeb(incoming) as ReadableStream<Uint8Array>) : null;
  const response = new Response(body, { status, headers, statusText: incoming.statusMessage ?? "" });
  return Object.defineProperty(response, "url", { value: url.href });
}

/** Whether the answer itself says where it ends. Source: RFC 9112 §6.3, §9.8. */
function isFramed({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || /(^|,)\s*chunked\s*$/i.test(headers["transfer-encoding"] ?? "");
}
