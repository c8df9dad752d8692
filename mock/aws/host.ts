/**
 * The HTTPS host, or HTTP where it is asked for: sockets, limits and deadlines around the front door.
 *
 * On 127.0.0.1 unless an address is named. A body above 1 MiB is refused when it announces itself or when it gets
 * there, whichever is first, and the connection is closed; so is one connection more than the limit, a handshake, head
 * or body that takes too long. The `Date` header tells the time that signatures are judged by, by which SDKs correct their clocks.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  createServer as createPlainServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { ServerIdentity } from "./certificates.ts";
import { type AwsFault, serializationFault } from "./fault.ts";
import { type Answer, answerFault, answerRequest, type FrontDoor } from "./front-door.ts";
import type { Connection } from "./service.ts";
import { gatherHeaders, type Parameter, type ReceivedRequest } from "./sigv4/canonical.ts";

export const BODY_MAX_BYTES = 1_048_576;

export interface HostOptions {
  readonly door: FrontDoor;
  /** Plain HTTP without it. */
  readonly identity: ServerIdentity | undefined;
  readonly now: () => Date;
  /** The time of clients at a time of the emulator; the same if absent. */
  readonly clientTime?: (now: Date) => Date;
  /** `127.0.0.1` but for who says otherwise. */
  readonly listenOn: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** For the handshake, and for the request line, headers and body together. */
  readonly requestTimeoutMs: number;
  /** One more is closed as soon as it comes. */
  readonly maxConnections: number;
  readonly onBug: (error: unknown) => void;
}

export interface Host {
  readonly port: number;
  close(): Promise<void>;
}

/** Longer than SDK clients keep an idle connection for reuse, so that they are the ones who close it. */
const KEEP_ALIVE_MS = 20_000;

/** After a refusal so much more is read and thrown away: a client that still writes can then read why. */
const LINGER_MS = 1_000;

export async function startHost(options: HostOptions): Promise<Host> {
  const limits = {
    headersTimeout: options.requestTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    connectionsCheckingInterval: Math.ceil(options.requestTimeoutMs / 4),
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: 16_384,
  };
  const { identity } = options;
  const server: Server = identity
    ? createServer({
        ...{ key: identity.keyPem, cert: identity.certificatePem, minVersion: "TLSv1.2", ...limits },
        handshakeTimeout: options.requestTimeoutMs,
      })
    : createPlainServer(limits);
  server.maxConnections = options.maxConnections;
  const answer = (request: IncomingMessage, response: ServerResponse): void =>
    void serve(request, response, options).catch(options.onBug);
  server.on("request", answer);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    if (!announcesTooMuch(headOf(request))) response.writeContinue();
    answer(request, response);
  });
  server.listen({ host: options.listenOn, port: options.port });
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
  const head = headOf(request);
  const body = await readBody(request, head);
  if (body === "cut off") return;
  const now = options.now();
  const clientTime = options.clientTime?.(now) ?? now;
  if (body === "too large") {
    refuse(request, response, {
      fault: serializationFault(`the body has more than ${BODY_MAX_BYTES} bytes`),
      head,
      now: clientTime,
    });
    return;
  }
  let cut: number | undefined;
  const cutAfter = (bytes: number): void => {
    cut = bytes;
  };
  const reception = { now, clientTime, requestId, connection: { cutAfter, ...connectionOf(request, head) } };
  const answer = await answerRequest(options.door, { body, ...head }, reception, options.onBug);
  if (cut === undefined) return send(response, answer, requestId, clientTime);
  endWith(response, wholeAnswer(answer, requestId, clientTime).subarray(0, cut));
}

interface Refusal {
  readonly fault: AwsFault;
  readonly head: Head;
  readonly now: Date;
}

/** Answers while the body still comes, and closes: what is unread would otherwise reset the connection. */
function refuse(request: IncomingMessage, response: ServerResponse, { fault, head, now }: Refusal): void {
  const requestId = randomUUID();
  endWith(response, wholeAnswer(answerFault(fault, head, requestId), requestId, now), () => request.resume());
}

/** The connection's last bytes, when it is this response's turn: a request can come before the one ahead is answered. */
function endWith(response: ServerResponse, bytes: Uint8Array, ended?: () => void): void {
  const { socket } = response;
  if (!socket) {
    response.once("socket", () => endWith(response, bytes, ended));
    return;
  }
  response.detachSocket(socket);
  socket.end(bytes);
  ended?.();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/** As bytes, for a connection that ends with it. */
function wholeAnswer(answer: Answer, requestId: string, now: Date): Buffer {
  const body = Buffer.from(answer.body);
  const headers = { ...headersOf(answer, body.length, requestId, now), connection: "close" };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${lines.join("")}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

function send(response: ServerResponse, answer: Answer, requestId: string, now: Date): void {
  response.writeHead(answer.status, headersOf(answer, Buffer.byteLength(answer.body), requestId, now));
  // As a text: Node then sends it in one piece with the head.
  response.end(answer.body);
}

function headersOf(answer: Answer, length: number, requestId: string, now: Date): Record<string, string> {
  return {
    "content-type": answer.contentType,
    "content-length": String(length),
    "x-amzn-requestid": requestId,
    date: now.toUTCString(),
  };
}

function announcesTooMuch({ headers }: Head): boolean {
  return Number(headers.get("content-length")?.[0] ?? 0) > BODY_MAX_BYTES;
}

function readBody(request: IncomingMessage, head: Head): Promise<Uint8Array | "too large" | "cut off"> {
  if (announcesTooMuch(head)) return Promise.resolve("too large");
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    request.on("data", (chunk: Uint8Array) => {
      size += chunk.length;
      if (size <= BODY_MAX_BYTES) chunks.push(chunk);
      else resolve("too large");
    });
    request.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    // The client went away, or its time was up: nobody waits for an answer.
    request.on("close", () => resolve("cut off"));
    request.on("error", (error) => (request.complete ? reject(error) : resolve("cut off")));
  });
}

type Head = Omit<ReceivedRequest, "body">;

function headOf({ method = "", url = "", rawHeaders }: IncomingMessage): Head {
  return { method, target: url, headers: gatherHeaders(headerPairs(rawHeaders)) };
}

function headerPairs(raw: readonly string[]): readonly Parameter[] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? ""] as const] : []));
}

function connectionOf({ socket }: IncomingMessage, { headers }: Head): Connection {
  return {
    userAgent: headers.get("user-agent")?.[0] ?? "",
    host: headers.get("host")?.[0] ?? "",
    ...socketFacts(socket),
  };
}

type SocketFacts = Pick<Connection, "sourceIp" | "tlsVersion" | "cipherSuite">;
const factsOfSockets = new WeakMap<Socket, SocketFacts>();

/** They stay as they are for as long as the connection. */
function socketFacts(socket: Socket): SocketFacts {
  const known = factsOfSockets.get(socket);
  if (known) return known;
  const isTls = socket instanceof TLSSocket;
  const facts = {
    // Where IPv6 is listened on too, IPv4 comes as ::ffff:a.b.c.d.
    sourceIp: (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, ""),
    tlsVersion: (isTls && socket.getProtocol()) || "",
    cipherSuite: isTls ? socket.getCipher().standardName : "",
  };
  factsOfSockets.set(socket, facts);
  return facts;
}
