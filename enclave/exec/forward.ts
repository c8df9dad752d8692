/**
 * Hands a client's request to the program's own HTTP server on the loopback, and its answer back.
 *
 * TLS has ended here by then, under a key that the enclave's documents vouch for; the program sees plain HTTP. Bodies are
 * streams both ways, and encoded ones stay as they are.
 *
 * @module
 */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { TransportError } from "../../shared/errors/index.ts";
import type { Handler } from "../app/http.ts";

/** Between two ends, not for the one behind. Source: RFC 9110 §7.6.1. */
const HOP_BY_HOP = [
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"],
  ...["te", "trailer", "transfer-encoding", "upgrade", "expect"],
];
const BODILESS = [101, 204, 205, 304];

/** @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE` from the handler: the program does not answer */
export function forwardTo(port: number): Handler {
  const agent = new Agent({ keepAlive: false, maxSockets: 256 });
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    const headers = Object.fromEntries([...request.headers].filter(([name]) => !HOP_BY_HOP.includes(name)));
    const { method, signal } = request;
    const outgoing = httpRequest({
      ...{ agent, host: "127.0.0.1", port, method, signal, headers, path: pathname + search },
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).on("error", reject);
    });
    try {
      if (request.body === null) outgoing.end();
      // The program may answer before it has read all; then its answer counts.
      else pipeline(Readable.fromWeb(request.body as NodeReadableStream), outgoing).catch(() => {});
      return toResponse(await answered, method);
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? "unknown";
      throw new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: `tcp://127.0.0.1:${port}`, reason }, { cause });
    }
  };
}

function toResponse(incoming: IncomingMessage, method: string): Response {
  const { statusCode: status = 502, rawHeaders } = incoming;
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    if (!HOP_BY_HOP.includes(name)) headers.append(name, rawHeaders[at + 1] ?? "");
  }
  const isBodiless = method === "HEAD" || BODILESS.includes(status);
  if (isBodiless) incoming.resume();
  const body = isBodiless ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>);
  return new Response(body, { status, headers });
}
