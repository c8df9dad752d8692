/**
 * Asks a server as fast as it answers: some connections, each with one request at a time, the same bytes again and again.
 *
 * The client does next to nothing, so what is measured is the server: requests are signed once, answers are read for
 * their status and length only. A signed request may be sent again inside of its five minutes, as at AWS.
 *
 * @module
 */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  canonicalRequest,
  gatherHeaders,
  SIGV4_ALGORITHM,
  scopeText,
  sign,
  signingKey,
  stringToSign,
} from "../../mock/aws/sigv4/canonical.ts";

export interface Target {
  readonly port: number;
  /** PEM; plain HTTP without. */
  readonly ca?: string;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface Ask {
  readonly operation: string;
  readonly input: object;
}

const REGION = "us-east-1";

/** A KMS request as bytes, signed for now. */
export function signedRequest({ operation, input }: Ask, { port }: Target, credentials: Credentials): Buffer {
  const body = Buffer.from(JSON.stringify(input));
  const amzDate = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const scope = { day: amzDate.slice(0, 8), region: REGION, service: "kms" };
  const pairs = [
    ["content-type", "application/x-amz-json-1.1"],
    ["host", `127.0.0.1:${port}`],
    ["x-amz-date", amzDate],
    ["x-amz-security-token", credentials.sessionToken],
    ["x-amz-target", `TrentService.${operation}`],
  ] as const;
  const signedHeaders = pairs.map(([name]) => name);
  const received = { method: "POST", target: "/", headers: gatherHeaders(pairs), body };
  const canonical = canonicalRequest(received, { signedHeaders, path: "normalized", uncovered: new Set() });
  const signature = sign(signingKey(credentials.secretAccessKey, scope), stringToSign(amzDate, scope, canonical));
  const authorization = `${SIGV4_ALGORITHM} Credential=${credentials.accessKeyId}/${scopeText(scope)}, SignedHeaders=${signedHeaders.join(";")}, Signature=${signature}`;
  const head = [...pairs, ["authorization", authorization], ["content-length", String(body.length)]];
  const text = head.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\n${text}\r\n`), body]);
}

/** One request, and its answer as JSON. */
export async function ask(target: Target, request: Buffer): Promise<Record<string, unknown>> {
  const connection = await Connection.open(target);
  try {
    const { status, body } = await connection.send(request);
    if (status !== 200) throw new Error(`answered ${status}: ${body.toString()}`);
    return JSON.parse(body.toString()) as Record<string, unknown>;
  } finally {
    connection.close();
  }
}

/** Sends `count` requests over `connections`; the time of each in microseconds. */
export async function load(
  target: Target,
  request: Buffer,
  { count, connections }: { readonly count: number; readonly connections: number },
): Promise<number[]> {
  const opened = await Promise.all(Array.from({ length: connections }, () => Connection.open(target)));
  const times: number[] = [];
  let left = count;
  await Promise.all(
    opened.map(async (first) => {
      let connection = first;
      while (left-- > 0) {
        const start = process.hrtime.bigint();
        if (connection.isOver) connection = await Connection.open(target);
        const { status, body } = await connection.send(request);
        if (status !== 200) throw new Error(`answered ${status}: ${body.toString().slice(0, 300)}`);
        times.push(Number(process.hrtime.bigint() - start) / 1000);
      }
      connection.close();
    }),
  );
  return times;
}

interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #settle: ((reply: Reply | Error) => void) | undefined;
  #isLast = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error) => this.#settle?.(error));
    socket.on("close", () => this.#settle?.(new Error("the server closed the connection")));
  }

  static async open({ port, ca }: Target): Promise<Connection> {
    const socket =
      ca === undefined
        ? connectTcp({ host: "127.0.0.1", port })
        : connectTls({ host: "127.0.0.1", port, ca, servername: "localhost" });
    await once(socket, ca === undefined ? "connect" : "secureConnect");
    return new Connection(socket);
  }

  /** Some servers close after each answer: the next one needs another connection. */
  get isOver(): boolean {
    return this.#isLast || this.#socket.destroyed || this.#socket.readableEnded;
  }

  send(request: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#settle = (reply) => {
        this.#settle = undefined;
        if (reply instanceof Error) reject(reply);
        else resolve(reply);
      };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = this.#received.toString("latin1", 0, headEnd);
    this.#isLast = head.startsWith("HTTP/1.0") || /\r\nconnection: *close/i.test(head);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
    const end = headEnd + 4 + length;
    if (Number.isNaN(length)) this.#settle?.(new Error("an answer without a length"));
    else if (this.#received.length >= end) {
      const body = this.#received.subarray(headEnd + 4, end);
      this.#received = this.#received.subarray(end);
      this.#settle?.({ status: Number(head.slice(9, 12)), body });
    }
  }
}
