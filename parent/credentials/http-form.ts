/**
 * The role's credentials over HTTP, in the container-credentials form that every AWS SDK reads.
 *
 *   GET <path>                        200 and the credentials; 503 when there are none
 *   another path                      404
 *   another method                    405
 *   X-Forwarded-For, Forwarded, Via   403: somebody forwards for somebody else, as an SSRF does
 *   without the token, if one is set  401
 *   a body, two hosts, no HTTP/1.1    400
 *
 * One request a connection, its head read strictly (8 KiB, 5 seconds), and the connection closed behind the answer: no
 * second request can hide behind a first. No redirect is ever answered. What a peer sends is never in an answer or event.
 *
 * Source: AWS SDKs reference guide, "Container credential provider".
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Duplex } from "node:stream";
import { ConfigError, isToolkitError, isTransportError, TransportError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";
import { type Head, parseHead, readHead } from "../../shared/transport/http-head.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import { type CidListeningService, listenService } from "../listening/service.ts";
import type { ParentLog, Tap } from "../observability/observe.ts";
import type { ProvideCredentials } from "./container-credentials.ts";
import { checkNamedPeers } from "./named-peers.ts";

export interface CredentialsHttpOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. Required there. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly provide: ProvideCredentials;
  /** The one path. Default `/credentials`. */
  readonly path?: string;
  /** What the `Authorization` field must hold, if it must: `AWS_CONTAINER_AUTHORIZATION_TOKEN` of the enclave. */
  readonly authorization?: string | undefined;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly limits?: CredentialsHttpLimits | undefined;
}

export interface CredentialsHttpLimits {
  /** From the connection to the end of the request's head, in milliseconds. Default 5 000. */
  readonly headTimeoutMs?: number;
  /** For the provider, in milliseconds. Default 10 000. */
  readonly answerTimeoutMs?: number;
  /** How many connections at once, and of one context id. Default 64 and 16. */
  readonly maxConnections?: number;
  readonly maxConnectionsPerCid?: number;
}

/** How long a peer may take to read the answer, in milliseconds. */
const LINGER_MS = 1_000;
const PATH = /^\/[\w./~-]{0,255}$/;
const PROXIED: readonly string[] = ["x-forwarded-for", "forwarded", "via"];

interface Answer {
  readonly status: keyof typeof REASONS;
  readonly body: Readonly<Record<string, string>>;
  /** Why there are no credentials; for the operator, not for the peer. */
  readonly failure?: Error;
}

const REASONS = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  503: "Service Unavailable",
} as const;

/**
 * Starts the endpoint.
 *
 * @throws {ConfigError} a path of another form, or nobody named who is served over vsock
 * @throws {TransportError} the address can not be bound
 */
export async function startCredentialsHttp(options: CredentialsHttpOptions): Promise<CidListeningService> {
  const { transport, address, allowedCids, provide, path = "/credentials", authorization, log, tap } = options;
  const { headTimeoutMs = 5_000, answerTimeoutMs = 10_000 } = options.limits ?? {};
  const { maxConnections = 64, maxConnectionsPerCid = 16 } = options.limits ?? {};
  const places = { maxConnections, maxConnectionsPerCid };
  checkNamedPeers(address, allowedCids);
  if (!PATH.test(path)) {
    const expected = "a path of letters, digits and -._~/";
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "path", expected, actual: "another" });
  }

  async function serve({ id, socket, traffic, signal, log: note }: Connection): Promise<Outcome> {
    const onBytes = (bytes: Uint8Array): void => {
      traffic.bytesFromEnclave += bytes.length;
      tap?.(id, "from-enclave", bytes);
    };
    const head = await readHead(socket, { address: id, timeoutMs: headTimeoutMs, onBytes }).catch(malformed);
    // What comes behind the head is nobody's; read, so that a peer that leaves is noticed.
    socket.resume();
    const refusal = head ? judge(head, path, authorization) : refused(400);
    const answer = refusal ?? (await vend(provide, { timeoutMs: answerTimeoutMs, socket, signal }));
    if (answer.status === 200) note("connected");
    else if (!answer.failure) note("refused", { code: answer.body["code"] ?? "" });
    const bytes = encode(answer);
    traffic.bytesToEnclave += bytes.length;
    tap?.(id, "to-enclave", bytes);
    await send(socket, bytes);
    if (answer.failure) throw answer.failure;
    return answer.status === 200 ? "served" : "refused";
  }

  return listenService({ service: "credentials", transport, address, allowedCids, log, ...places, serve });
}

function refused(status: keyof typeof REASONS, code = `HTTP_${status}`): Answer {
  return { status, body: { code, message: REASONS[status].toLowerCase() } };
}

/** A head that is none gets an answer; a peer that left or was too slow does not. */
function malformed(error: unknown): undefined {
  if (!isTransportError(error) || error.code !== "ERR_TRANSPORT_PROXY_INVALID") throw error;
}

/** Why there is no answer for this request; undefined when there is one. */
function judge(bytes: Uint8Array, path: string, authorization: string | undefined): Answer | undefined {
  let head: Head;
  try {
    head = parseHead(bytes);
  } catch (error) {
    malformed(error);
    return refused(400);
  }
  const values = (name: string): string[] => head.fields.filter(([known]) => known === name).map(([, value]) => value);
  const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(head.start) ?? [];
  const hasBody = values("transfer-encoding").length > 0 || values("content-length").some((length) => length !== "0");
  if (method === undefined || values("host").length !== 1 || hasBody) return refused(400);
  if (PROXIED.some((name) => values(name).length > 0)) return refused(403);
  if (target !== path) return refused(404);
  if (method !== "GET") return refused(405);
  if (authorization !== undefined && !isSecret(values("authorization"), authorization)) return refused(401);
  return undefined;
}

function isSecret(given: readonly string[], secret: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return given.length === 1 && timingSafeEqual(hash(given[0] ?? ""), hash(secret));
}

interface Vending {
  readonly timeoutMs: number;
  readonly socket: Duplex;
  readonly signal: AbortSignal;
}

/** Nobody waits longer for the source than the peer does, or the service. */
async function vend(provide: ProvideCredentials, { timeoutMs, socket, signal }: Vending): Promise<Answer> {
  let giveUp: (why: TransportError) => void = () => {};
  const gaveUp = new Promise<never>((_, reject) => (giveUp = reject));
  gaveUp.catch(() => {});
  const address = "the source of credentials";
  const timer = setTimeout(
    () => giveUp(new TransportError("ERR_TRANSPORT_TIMEOUT", { address, timeoutMs })),
    timeoutMs,
  );
  const onClose = (): void => giveUp(new TransportError("ERR_TRANSPORT_CLOSED", { address: "the peer" }));
  socket.once("close", onClose);
  signal.addEventListener("abort", onClose, { once: true });
  if (socket.closed || signal.aborted) onClose();
  try {
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = await Promise.race([provide(), gaveUp]);
    return { status: 200, body: { AccessKeyId, SecretAccessKey, Token, Expiration } };
  } catch (error) {
    const code = isToolkitError(error) ? error.code : "ERR_INTERNAL";
    return { ...refused(503, code), failure: error instanceof Error ? error : new Error("not an error") };
  } finally {
    clearTimeout(timer);
    socket.off("close", onClose);
    signal.removeEventListener("abort", onClose);
  }
}

function encode({ status, body }: Answer): Buffer {
  const json = JSON.stringify(body);
  const fields = [
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(json)}`,
    "cache-control: no-store",
    "connection: close",
    ...(status === 405 ? ["allow: GET"] : []),
  ];
  return Buffer.from(`HTTP/1.1 ${status} ${REASONS[status]}\r\n${fields.join("\r\n")}\r\n\r\n${json}`);
}

/** Sends, reads away what else came so that a reset does not eat the answer, and closes. */
async function send(socket: Duplex, bytes: Uint8Array): Promise<void> {
  socket.end(bytes);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(timer);
}
