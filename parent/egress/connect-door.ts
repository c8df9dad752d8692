/**
 * The door for many hosts: reads an HTTP CONNECT request, and answers it.
 *
 * One head of 8 KiB, without a body, that names the target once in the request line and the same in `Host`. Whatever two
 * readers could understand differently is refused. What follows the head belongs to the tunnel.
 *
 * Source: RFC 9110 §9.3.6, RFC 9112 §3.2.3.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { isTransportError, TransportError } from "../../shared/errors/index.ts";
import { parseHead, readHead } from "../../shared/transport/http-head.ts";
import { parseTarget, type Target } from "../../shared/transport/target.ts";
import type { Connection } from "../listening/connection.ts";
import type { Tap } from "../observability/observe.ts";

/** How long a refused peer may take to read why, in milliseconds. */
const LINGER_MS = 1_000;
const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

export interface Refusal {
  readonly status: "400 Bad Request" | "403 Forbidden" | "502 Bad Gateway";
  readonly code: string;
  readonly reason?: string;
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_PROXY_INVALID`, `ERR_TRANSPORT_ADDRESS_INVALID`, `ERR_TRANSPORT_CLOSED`,
 * `ERR_TRANSPORT_TIMEOUT`
 */
export async function readConnect(
  { id, socket }: Connection,
  timeoutMs: number,
  tap: Tap | undefined,
): Promise<Target> {
  const onBytes = tap && ((bytes: Uint8Array): void => tap(id, "from-enclave", bytes));
  return parseConnect(await readHead(socket, { address: id, timeoutMs, onBytes }));
}

function parseConnect(head: Uint8Array): Target {
  const { start, fields } = parseHead(head);
  const authority = /^CONNECT ([^ ]+) HTTP\/1\.1$/.exec(start)?.[1];
  if (authority === undefined) throw malformed("expected CONNECT host:port HTTP/1.1");
  const target = parseTarget(authority);
  const hosts = fields.filter(([name]) => name === "host");
  if (hosts.length !== 1 || hosts[0]?.[1] !== authority) throw malformed("expected one Host field, the same target");
  if (fields.some(([name]) => name === "content-length" || name === "transfer-encoding")) {
    throw malformed("a CONNECT request has no body");
  }
  return target;
}

function malformed(rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_PROXY_INVALID", { rule });
}

/** The answer to give for an error; none when the peer went away or was too slow to be told anything. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!isTransportError(error)) return undefined;
  switch (error.code) {
    case "ERR_TRANSPORT_PROXY_INVALID":
    case "ERR_TRANSPORT_ADDRESS_INVALID":
      return { status: "400 Bad Request", code: error.code };
    case "ERR_TRANSPORT_HOST_NOT_ALLOWED":
      return { status: "403 Forbidden", code: error.code };
    case "ERR_TRANSPORT_UNREACHABLE":
      return { status: "502 Bad Gateway", code: error.code, reason: error.details.reason };
    default:
      return undefined;
  }
}

export function accept({ id, socket }: Connection, tap: Tap | undefined): void {
  send(socket, id, { text: ESTABLISHED, tap });
}

/** Says no, reads away what the peer still sends so that the answer is not lost to a reset, and closes. */
export async function refuse({ id, socket }: Connection, refusal: Refusal, tap: Tap | undefined): Promise<void> {
  const { status, ...body } = refusal;
  const json = JSON.stringify(body);
  const fields = `content-type: application/json\r\ncontent-length: ${json.length}\r\nconnection: close`;
  send(socket, id, { text: `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n${json}`, tap });
  socket.end();
  socket.on("data", (bytes: Uint8Array) => tap?.(id, "from-enclave", bytes)).resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(timer);
}

function send(
  socket: Duplex,
  id: string,
  { text, tap }: { readonly text: string; readonly tap: Tap | undefined },
): void {
  const bytes = Buffer.from(text, "latin1");
  tap?.(id, "to-enclave", bytes);
  socket.write(bytes);
}
