/**
 * The HTTPS host: sockets, limits and deadlines around the front door. Binds to 127.0.0.1 only.
 *
 * A body above 1 MiB is refused when it announces itself or when it gets there, whichever is first, and the connection
 * is closed. The `Date` header tells the emulator's time, by which SDKs correct their clocks.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import type { ServerIdentity } from "./certificates.ts";
import { serializationFault } from "./fault.ts";
import { type Answer, answerFault, answerRequest, type FrontDoor } from "./front-door.ts";
import type { Connection } from "./service.ts";

export const BODY_MAX_BYTES = 1_048_576;

export interface HostOptions {
  readonly door: FrontDoor;
  readonly identity: ServerIdentity;
  readonly now: () => Date;
  /** 0 takes any free one. */
  readonly port: number;
  /** For the request line, headers and body together. */
  readonly requestTimeoutMs: number;
  readonly onBug: (error: unknown) => void;
}

export interface Host {
  readonly port: number;
  close(): Promise<void>;
}

export async function startHost(options: HostOptions): Promise<Host> {
  const server = createServer(
    {
      key: options.identity.keyPem,
      cert: options.identity.certificatePem,
      minVersion: "TLSv1.2",
      headersTimeout: options.requestTimeoutMs,
      requestTimeout: options.requestTimeoutMs,
      connectionsCheckingInterval: Math.ceil(options.requestTimeoutMs / 4),
      maxHeaderSize: 16_384,
    },
    (request, response) => void serve(request, response, options).catch(options.onBug),
  );
  server.listen({ host: "127.0.0.1", port: options.port });
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => close(server) };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

async function serve(request: IncomingMessage, response: ServerResponse, options: HostOptions): Promise<void> {
  const requestId = randomUUID();
  const body = await readBody(request);
  if (body === "cut off") return;
  const now = options.now();
  if (body === "too large") {
    response.setHeader("connection", "close");
    const fault = serializationFault(`the body has more than ${BODY_MAX_BYTES} bytes`);
    return send(response, answerFault(fault), requestId, now);
  }
  const received = {
    method: request.method ?? "",
    target: request.url ?? "",
    headers: headerPairs(request.rawHeaders),
    body,
  };
  const reception = { now, requestId, connection: connectionOf(request) };
  send(response, await answerRequest(options.door, received, reception, options.onBug), requestId, now);
}

function send(response: ServerResponse, answer: Answer, requestId: string, now: Date): void {
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    "content-type": "application/x-amz-json-1.1",
    "content-length": body.length,
    "x-amzn-requestid": requestId,
    date: now.toUTCString(),
  });
  response.end(body);
}

async function readBody(request: IncomingMessage): Promise<Uint8Array | "too large" | "cut off"> {
  if (Number(request.headers["content-length"] ?? 0) > BODY_MAX_BYTES) return "too large";
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > BODY_MAX_BYTES) return "too large";
      chunks.push(chunk);
    }
  } catch (error) {
    if (request.complete) throw error;
    return "cut off"; // the client went away, or its time was up: nobody waits for an answer
  }
  return Buffer.concat(chunks);
}

function headerPairs(raw: readonly string[]): readonly (readonly [string, string])[] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? ""] as const] : []));
}

function connectionOf(request: IncomingMessage): Connection {
  const { socket } = request;
  const isTls = socket instanceof TLSSocket;
  return {
    sourceIp: socket.remoteAddress ?? "",
    userAgent: request.headers["user-agent"] ?? "",
    host: request.headers.host ?? "",
    tlsVersion: (isTls && socket.getProtocol()) || "",
    cipherSuite: isTls ? socket.getCipher().standardName : "",
  };
}
