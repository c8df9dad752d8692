/**
 * Answers an operator's tools over HTTP: `/metrics`, `/healthz` (does it live?), `/readyz` (does it serve?).
 *
 * On loopback TCP or a Unix socket of mode 0600, never elsewhere. GET and HEAD of these three paths, without a body:
 * everything else is refused, and nothing of a request comes back in an answer. One request a connection, a deadline
 * for each and a limit on their number: whoever does not ask or does not read is cut off.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Address } from "../../shared/transport/address.ts";
import { createTransport } from "../../transport/create.ts";
import type { Metrics } from "./metrics.ts";

/** How the parent is. The facts go out as they are: names, counts and times, never secrets. */
export interface HealthReport {
  /** Whether the process works; a supervisor ends it when not. */
  readonly live: boolean;
  /** Whether it can serve: the enclave is up, credentials are valid, it does not drain. */
  readonly ready: boolean;
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

export interface HealthOptions {
  /** Loopback TCP or a Unix socket. */
  readonly listen: Address;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  readonly health: () => HealthReport;
  /** How many connections at once. Default 32. */
  readonly maxConnections?: number;
  /** How long one may last, from its first moment to its last, in milliseconds. Default 5 000. */
  readonly deadlineMs?: number;
}

export interface HealthServer extends AsyncDisposable {
  readonly address: Address;
  close(): Promise<void>;
}

const HEADERS_BYTES_MAX = 8_192;

/**
 * @throws {TransportError} the address is not on this host, or can not be bound
 * @throws {TypeError} not an address of TCP or of a Unix socket
 */
export async function startHealth(options: HealthOptions): Promise<HealthServer> {
  const { listen, metrics, health, maxConnections = 32, deadlineMs = 5_000 } = options;
  if (listen.kind !== "tcp" && listen.kind !== "unix") throw new TypeError("health is served over tcp or unix");
  const server = createServer({ maxHeaderSize: HEADERS_BYTES_MAX }, (incoming, outgoing) => {
    void answer(incoming, outgoing, { metrics, health });
  });
  const sockets = new Set<Duplex>();
  const onConnection = (socket: Duplex): void => {
    socket.on("error", () => {});
    if (sockets.size >= maxConnections) return void socket.destroy();
    sockets.add(socket);
    const deadline = setTimeout(() => socket.destroy(), deadlineMs);
    deadline.unref();
    socket.once("close", () => {
      clearTimeout(deadline);
      sockets.delete(socket);
    });
    server.emit("connection", socket);
  };
  const listener = await createTransport().listen(listen, onConnection);
  const close = async (): Promise<void> => {
    await listener.close();
    for (const socket of sockets) socket.destroy();
    end(server);
  };
  return { address: listener.address, close, [Symbol.asyncDispose]: close };
}

function end(server: Server): void {
  // It never listened: there is nothing to wait for, only its timer to stop.
  server.close(() => {});
}

type Sources = Pick<HealthOptions, "metrics" | "health">;

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
  readonly allow?: string;
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, sources: Sources): Promise<void> {
  const { status, type = "text/plain; charset=utf-8", body = "", allow } = await answerTo(incoming, sources);
  if (outgoing.destroyed) return;
  outgoing.shouldKeepAlive = false;
  outgoing.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...(allow !== undefined && { Allow: allow }),
  });
  outgoing.end(incoming.method === "HEAD" ? undefined : body);
}

async function answerTo(incoming: IncomingMessage, { metrics, health }: Sources): Promise<Answer> {
  const { method, url, headers } = incoming;
  if (method !== "GET" && method !== "HEAD") return { status: 405, allow: "GET, HEAD" };
  if (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0") return { status: 400 };
  try {
    if (url === "/metrics") return { status: 200, type: metrics.contentType, body: await metrics.text() };
    if (url !== "/healthz" && url !== "/readyz") return { status: 404 };
    const { live, ready, facts } = health();
    const well = url === "/healthz" ? live : live && ready;
    const body = `${JSON.stringify({ live, ready, facts })}\n`;
    return { status: well ? 200 : 503, type: "application/json", body };
  } catch {
    // Whoever asks learns that something is wrong here, and not what: it may hold anything.
    return { status: 500 };
  }
}
