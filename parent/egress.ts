/**
 * The enclave's way out: an HTTP CONNECT proxy that forwards to the hosts on its allowlist and to nothing else.
 *
 *   1. read       one head, 8 KiB and 5 seconds at most             otherwise 400
 *   2. parse      `CONNECT host:port HTTP/1.1`, no body             otherwise 400
 *   3. allow      host and port stand on the list, exactly          otherwise 403
 *   4. dial       resolve, classify, connect                        otherwise 502
 *   5. tunnel     200, then bytes both ways
 *
 * TLS ends inside the enclave: what crosses here is ciphertext, and the proxy does not try to read it.
 *
 * Source: RFC 9110 §9.3.6, RFC 9112 §3.2.3.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { isTransportError, TransportError } from "../shared/errors/index.ts";
import type { Address } from "../shared/transport/address.ts";
import { parseHead, readHead } from "../shared/transport/http-head.ts";
import { parseTarget, type Target } from "../shared/transport/target.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { type AllowlistEntry, type HostMap, readAllowlist } from "./allowlist.ts";
import { dial, type Resolve } from "./dial.ts";
import type { ParentLog, Tap } from "./observe.ts";
import { type Connection, type ListeningService, listenService, type Outcome } from "./service.ts";
import { tunnel } from "./tunnel.ts";

export interface EgressLimits {
  /** From the connection to the end of the request's head, in milliseconds. Default 5 000. */
  readonly headTimeoutMs?: number;
  /** To resolve and connect, in milliseconds. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** How long nothing may cross a tunnel, in milliseconds. Default 600 000: a kept-alive HTTP connection may rest. */
  readonly idleTimeoutMs?: number;
  /** How many connections at once. Default 1 024. */
  readonly maxConnections?: number;
}

export interface EgressOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  /** All that may be reached. An empty list forwards nothing. */
  readonly allowlist: readonly AllowlistEntry[];
  /** Fixed places of targets, for mock mode and tests. A target must be on the allowlist all the same. */
  readonly hosts?: HostMap | undefined;
  /** Default: the system's resolver. */
  readonly resolve?: Resolve | undefined;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly limits?: EgressLimits | undefined;
}

/** How long a refused peer may take to read why, in milliseconds. */
const LINGER_MS = 1_000;

interface Refusal {
  readonly status: "400 Bad Request" | "403 Forbidden" | "502 Bad Gateway";
  readonly code: string;
  readonly reason?: string;
}

/**
 * Starts the proxy.
 *
 * @throws {ConfigError} the allowlist or the host map is not usable
 * @throws {TransportError} the address can not be bound
 */
export async function startEgress(options: EgressOptions): Promise<ListeningService> {
  const { transport, address, allowedCids, log, tap, resolve, limits = {} } = options;
  const { headTimeoutMs = 5_000, connectTimeoutMs = 5_000, idleTimeoutMs = 600_000, maxConnections = 1_024 } = limits;
  const allowlist = readAllowlist(options.allowlist, options.hosts);

  async function serve(connection: Connection): Promise<Outcome> {
    const { id, socket } = connection;
    let target: Target | undefined;
    try {
      target = await readConnect(connection, headTimeoutMs, tap);
      const allowed = allowlist.find(target);
      if (!allowed) throw new TransportError("ERR_TRANSPORT_HOST_NOT_ALLOWED", target);
      const upstream = await dial(allowed, { resolve, timeoutMs: connectTimeoutMs });
      connection.log("connected", { target: `${target.host}:${target.port}` });
      send(socket, id, "HTTP/1.1 200 Connection Established\r\n\r\n", tap);
      await tunnel(socket, upstream, { connectionId: id, tap, idleTimeoutMs });
      return "served";
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      const named = target && { target: `${target.host}:${target.port}` };
      connection.log("refused", { code: refusal.reason ?? refusal.code, ...named });
      await refuse(socket, id, refusal, tap);
      return "refused";
    }
  }

  return listenService({ service: "egress", transport, address, allowedCids, log, maxConnections, serve });
}

async function readConnect({ id, socket }: Connection, timeoutMs: number, tap: Tap | undefined): Promise<Target> {
  const onBytes = tap && ((bytes: Uint8Array): void => tap(id, "from-enclave", bytes));
  return parseConnect(await readHead(socket, { address: id, timeoutMs, onBytes }));
}

/** Reads a CONNECT request. Whatever two readers could understand differently is refused. */
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
function refusalOf(error: unknown): Refusal | undefined {
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

function send(socket: Duplex, id: string, text: string, tap: Tap | undefined): void {
  const bytes = Buffer.from(text, "latin1");
  tap?.(id, "to-enclave", bytes);
  socket.write(bytes);
}

/** Says no, reads away what the peer still sends so that the answer is not lost to a reset, and closes. */
async function refuse(socket: Duplex, id: string, refusal: Refusal, tap: Tap | undefined): Promise<void> {
  const { status, ...body } = refusal;
  const json = JSON.stringify(body);
  const fields = `content-type: application/json\r\ncontent-length: ${json.length}\r\nconnection: close`;
  send(socket, id, `HTTP/1.1 ${status}\r\n${fields}\r\n\r\n${json}`, tap);
  socket.end();
  socket.on("data", (bytes: Uint8Array) => tap?.(id, "from-enclave", bytes)).resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(timer);
}
