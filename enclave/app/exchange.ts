/**
 * One HTTP request and its answer, as the web standard has them.
 *
 *   the body comes as a stream with limits · the answer's body goes out as the client takes it
 *
 * An error becomes `{ code, message, details }` when it is a refusal of this toolkit, whose details are log-safe, and the
 * bare code `ERR_INTERNAL` with a number to find it in the log by otherwise: nothing leaks. One that comes after the answer has begun ends the connection, so
 * that half an answer is never taken for a whole one.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { isToolkitError, type RefusalKind } from "../../shared/errors/index.ts";
import type { BodyBudget } from "./body-budget.ts";

export type Handler = (request: Request) => Promise<Response> | Response;

export interface Answering {
  readonly handler: Handler;
  readonly budget: BodyBudget;
  /** Told of each error that is not a refusal of this toolkit, with the number that the client gets instead. */
  readonly onInternalError: (error: unknown, id: string) => void;
  readonly scheme: "http" | "https";
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** What the server decides: a handler that passes on another server's answer must not. */
const OWN_HEADERS = ["connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "proxy-authenticate"];

export async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { handler, budget, onInternalError, scheme }: Answering,
): Promise<void> {
  const refused = METHODS.includes(incoming.method ?? "") ? budget.refusalOf(incoming) : 405;
  if (refused !== undefined) return refuse(outgoing, refused);
  const body = budget.open(incoming);
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort(new DOMException("the client is gone", "AbortError")));
  tellWhenLeft(incoming, outgoing);
  try {
    const response = await handler(toRequest(incoming, { body: body.stream, signal: gone.signal, scheme }));
    if (gone.signal.aborted) await response.body?.cancel();
    else await write(outgoing, response);
  } catch (thrown) {
    const isHalf = thrown instanceof HalfAnswer;
    // A client that went away is no fault of ours, and has nobody to tell.
    if (!isHalf && (outgoing.destroyed || gone.signal.aborted)) return;
    const error = isHalf ? thrown.cause : thrown;
    const id = randomUUID();
    if (body.refusal === undefined && !isToolkitError(error)) onInternalError(error, id);
    if (outgoing.headersSent) outgoing.destroy();
    else if (body.refusal !== undefined) refuse(outgoing, body.refusal);
    else await write(outgoing, refusal(error, id));
  } finally {
    body.release();
  }
}

/** An answer that waits behind another on its connection has no socket yet, and would not hear that it is gone. */
function tellWhenLeft({ socket }: IncomingMessage, outgoing: ServerResponse): void {
  const left = (): void => {
    if (outgoing.socket === null) outgoing.destroy().emit("close");
  };
  socket.once("close", left);
  outgoing.once("close", () => socket.off("close", left));
}

export function refuse(outgoing: ServerResponse, status: number): void {
  outgoing.writeHead(status, { connection: "close", "content-length": 0 }).end();
}

/** HTTP status by kind of refusal, as exit codes are for commands. */
const STATUS: Readonly<Record<RefusalKind, number>> = {
  usage: 400,
  "not authentic": 422,
  "refused by policy": 403,
  unreachable: 502,
  "host lacks": 503,
};

/** What a client is told of an error: of one that is no refusal of this toolkit, the number alone. */
export function refusal(error: unknown, id: string): Response {
  if (isToolkitError(error)) return Response.json(error.toJSON(), { status: STATUS[error.kind] });
  return Response.json({ code: "ERR_INTERNAL", message: "internal error", details: { id } }, { status: 500 });
}

interface RequestParts {
  readonly body: ReadableStream<Uint8Array>;
  readonly signal: AbortSignal;
  readonly scheme: "http" | "https";
}

function toRequest(incoming: IncomingMessage, { body, signal, scheme }: RequestParts): Request {
  const { method = "GET", headers } = incoming;
  const list = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
  );
  // Only the path is the client's: the authority is this enclave, whatever the Host header says.
  const url = new URL(`${scheme}://enclave/`);
  const target = incoming.url ?? "/";
  const query = target.indexOf("?");
  url.pathname = query < 0 ? target : target.slice(0, query);
  url.search = query < 0 ? "" : target.slice(query);
  const hasBody = method !== "GET" && method !== "HEAD";
  // It is the length of what is not handed on.
  const kept = hasBody ? list : list.filter(([name]) => name !== "content-length");
  return new Request(url, { method, headers: kept, signal, ...(hasBody && { body, duplex: "half" }) });
}

async function write(outgoing: ServerResponse, response: Response): Promise<void> {
  if (!(response instanceof Response)) throw new TypeError("a handler gives a Response");
  outgoing.statusCode = response.status;
  for (const [name, value] of response.headers) {
    if (name !== "set-cookie" && !OWN_HEADERS.includes(name)) outgoing.setHeader(name, value);
  }
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader("set-cookie", cookies);
  // What was not read of the request would be taken for the next one.
  if (!outgoing.req.complete) outgoing.setHeader("connection", "close");
  // An answer whose length is not the one it names could be cut by another reader.
  outgoing.strictContentLength = true;
  if (response.body === null || outgoing.req.method === "HEAD") {
    await response.body?.cancel();
    outgoing.end();
    return;
  }
  try {
    await pipeline(response.body as AsyncIterable<Uint8Array>, outgoing);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw new HalfAnswer("", { cause });
  }
}

/** The answer's body failed; by then the connection is gone, and not by its client. */
class HalfAnswer extends Error {}
