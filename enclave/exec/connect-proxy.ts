/**
 * The way out for a program that knows HTTP proxies: CONNECT on the loopback, joined to a tunnel through the parent.
 *
 * The parent's allowlist decides; the program puts TLS into the tunnel, as through any proxy. Plain HTTP is not offered.
 * The head is read as strictly as the parent reads it. Source: RFC 9110 §9.3.6; RFC 9112 §4.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { isToolkitError, isTransportError } from "../../shared/errors/index.ts";
import { formatAddress } from "../../shared/transport/address.ts";
import { parseHead, readHead } from "../../shared/transport/http-head.ts";
import { parseTarget, type Target } from "../../shared/transport/target.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";
import type { EnclaveEnv } from "../app/env.ts";
import type { Token } from "./token.ts";

export interface ConnectProxyOptions {
  readonly transport: Transport;
  readonly env: Pick<EnclaveEnv, "connect">;
  readonly token: Token;
}

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
const CONNECTIONS_MAX = 256;
const HEAD_TIMEOUT_MS = 10_000;
const REASONS = {
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  407: "Proxy Authentication Required",
  502: "Bad Gateway",
} as const;

class Refusal extends Error {
  readonly status: keyof typeof REASONS;
  constructor(status: keyof typeof REASONS) {
    super(REASONS[status]);
    this.status = status;
  }
}

/** @throws {TransportError} the loopback can not be bound */
export function startConnectProxy({ transport, env, token }: ConnectProxyOptions): Promise<Listener> {
  let open = 0;
  return transport.listen(LOOPBACK, (socket) => {
    if (open >= CONNECTIONS_MAX) return void socket.destroy();
    open++;
    // Either side may reset at any moment; `close` follows.
    socket.on("error", () => {}).once("close", () => open--);
    serve(socket, { env, token }).catch((error: unknown) => refuse(socket, error));
  });
}

async function serve(socket: Duplex, { env, token }: Pick<ConnectProxyOptions, "env" | "token">): Promise<void> {
  const { host, port } = await readTarget(socket, token);
  const tunnel = await env.connect(host, port);
  if (socket.destroyed) return void tunnel.destroy();
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
  join(socket, tunnel);
}

async function readTarget(socket: Duplex, token: Token): Promise<Target> {
  const head = parseHead(await readHead(socket, { address: formatAddress(LOOPBACK), timeoutMs: HEAD_TIMEOUT_MS }));
  const values = (name: string): string[] => head.fields.filter(([known]) => known === name).map(([, value]) => value);
  const [authorization, ...more] = values("proxy-authorization");
  if (more.length > 0 || !token.isIn(authorization)) throw new Refusal(407);
  const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(head.start) ?? [];
  if (method === undefined || target === undefined) throw new Refusal(400);
  if (method !== "CONNECT") throw new Refusal(405);
  return parseTarget(target);
}

function refuse(socket: Duplex, error: unknown): void {
  const status = statusOf(error);
  const code = isToolkitError(error) ? error.code : `HTTP_${status}`;
  const body = JSON.stringify({ code });
  const challenge = status === 407 ? "Proxy-Authenticate: Basic realm=cloister\r\n" : "";
  const fields = `${challenge}Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n`;
  if (socket.destroyed) return;
  socket.end(`HTTP/1.1 ${status} ${REASONS[status]}\r\n${fields}\r\n${body}`);
  // What the program still sends is not read; without this it would hold the connection.
  socket.resume().once("finish", () => socket.destroy());
}

function statusOf(error: unknown): keyof typeof REASONS {
  if (error instanceof Refusal) return error.status;
  if (!isTransportError(error)) return 502;
  if (error.code === "ERR_TRANSPORT_HOST_NOT_ALLOWED") return 403;
  const isMalformed = error.code === "ERR_TRANSPORT_PROXY_INVALID" || error.code === "ERR_TRANSPORT_ADDRESS_INVALID";
  return isMalformed ? 400 : 502;
}

/** Half-close and backpressure are the streams' own; a side that goes in the middle takes the other along. */
function join(left: Duplex, right: Duplex): void {
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    from.once("close", () => {
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
    from.pipe(to);
  }
}
