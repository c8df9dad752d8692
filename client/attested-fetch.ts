/**
 * `fetch` to an attested enclave: the server is verified before one byte of the request leaves.
 *
 * What it gives is a web-standard `Response` whose body streams. It does less than the platform's `fetch` on purpose:
 * redirects are handed back and not followed, nothing is cached, no cookies are kept, no proxy variable is read.
 *
 * How a request is framed is decided here, for every method: a body that nothing frames would be the next request on a
 * connection that others use too, and its answer theirs.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import type { VerifiedAttestation } from "../shared/attestation/index.ts";
import { SessionError } from "../shared/errors/session.ts";
import type { EnclavePolicy } from "../shared/session/bound-document.ts";
import { type AttestedAgent, createAttestedAgent, isAttestedAgent } from "./attested-agent.ts";

export type AttestedBody = string | Uint8Array | URLSearchParams | Blob | FormData | ReadableStream;

interface RequestInit {
  readonly method?: string;
  readonly headers?: Headers | Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  readonly body?: AttestedBody | null;
  /** Gives up waiting, for the connection as for the answer. */
  readonly signal?: AbortSignal;
}

/**
 * What `fetch` takes, and whom the server must prove to be: a policy, whose connections are kept alive as long as the
 * object itself is used; or an agent that the caller made and ends.
 */
export type AttestedFetchInit = RequestInit &
  (
    | { readonly policy: EnclavePolicy; readonly agent?: never }
    | { readonly agent: AttestedAgent; readonly policy?: never }
  );

const agents = new WeakMap<EnclavePolicy, AttestedAgent>();
const attestations = new WeakMap<Response, VerifiedAttestation>();
const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** Not the caller's: they frame the message, or have the connection do something else than carry it. */
const FRAMING = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];
const TEXT_TYPE = "text/plain;charset=UTF-8";
const BODILESS: readonly number[] = [204, 205, 304];

/**
 * @throws {AttestationError} the server's document is refused
 * @throws {SessionError} `ERR_SESSION_RELAYED`, `ERR_SESSION_UNATTESTED`; `ERR_SESSION_MALFORMED` for an answer that is none
 * @throws {TransportError} it is not reached, or TLS 1.3 does not come about
 * @throws {TypeError} another method than HTTP's seven, a body with GET or HEAD, an agent of another kind
 *
 * @example
 * ```ts
 * const response = await attestedFetch("https://enclave.example/rows", { policy, method: "POST", body: rows });
 * ```
 */
export async function attestedFetch(url: string | URL, init: AttestedFetchInit): Promise<Response> {
  const target = new URL(url);
  if (target.protocol !== "https:") throw new TypeError(`attestedFetch takes an https URL, not ${target.protocol}`);
  const agent = verifyingAgent(init);
  const { signal } = init;
  signal?.throwIfAborted();
  const { method, headers, body } = readRequest(init);
  const { promise, resolve, reject } = withResolvers<IncomingMessage>();
  const outgoing = request(target, { agent, method, headers });
  const giveUp = (): void => {
    // A request that waits for its connection says nothing when it is destroyed.
    reject(signal?.reason);
    outgoing.destroy();
  };
  signal?.addEventListener("abort", giveUp, { once: true });
  // Not once: a connection may fail a second time after the answer has begun, and nobody else listens.
  outgoing.once("response", resolve).on("error", reject);
  outgoing.once("close", () => {
    signal?.removeEventListener("abort", giveUp);
    // What has not been answered by now was something else than an answer, a change of protocol for instance.
    reject(malformed());
  });
  if (body instanceof Readable) pipeline(body, outgoing).catch(reject);
  else outgoing.end(body);
  const incoming = await promise;
  const response = readResponse(incoming, method);
  const attestation = agent.attestationOf(incoming.socket);
  if (attestation) attestations.set(response, attestation);
  return response;
}

/** What the enclave proved to be that gave this answer; `undefined` for what did not come from `attestedFetch`. */
export function attestationOf(response: Response): VerifiedAttestation | undefined {
  return attestations.get(response);
}

/** Another agent would verify nothing. */
function verifyingAgent({ agent, policy }: Pick<AttestedFetchInit, "agent" | "policy">): AttestedAgent {
  if (agent === undefined) return agentOf(policy as EnclavePolicy);
  if (policy !== undefined) throw new TypeError("attestedFetch takes a policy, or an agent that has one");
  if (!isAttestedAgent(agent)) throw new TypeError("attestedFetch takes an agent of createAttestedAgent");
  return agent;
}

function agentOf(policy: EnclavePolicy): AttestedAgent {
  const known = agents.get(policy);
  if (known) return known;
  const agent = createAttestedAgent(policy);
  agents.set(policy, agent);
  return agent;
}

interface Outgoing {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | Readable | undefined;
}

function readRequest({ method: given = "GET", headers: fields, body }: RequestInit): Outgoing {
  const method = given.toUpperCase();
  if (!METHODS.includes(method)) throw new TypeError(`a method of ${METHODS.join(", ")}`);
  const headers = new Headers(fields as ConstructorParameters<typeof Headers>[0]);
  for (const name of FRAMING) headers.delete(name);
  const outgoing = (content?: Uint8Array | Readable): Outgoing => ({
    ...{ method, headers: Object.fromEntries(headers), body: content },
  });
  if (body === null || body === undefined) return outgoing();
  if (method === "GET" || method === "HEAD") throw new TypeError(`${method} carries no body`);
  if (typeof body === "string" || body instanceof Uint8Array) {
    if (typeof body === "string" && !headers.has("content-type")) headers.set("content-type", TEXT_TYPE);
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    headers.set("content-length", String(bytes.length));
    return outgoing(bytes);
  }
  const standard = new Response(body as ConstructorParameters<typeof Response>[0]);
  const type = standard.headers.get("content-type");
  if (type && !headers.has("content-type")) headers.set("content-type", type);
  headers.set("transfer-encoding", "chunked");
  return outgoing(Readable.fromWeb(standard.body as ReadableStream));
}

function readResponse(incoming: IncomingMessage, method: string): Response {
  try {
    return toResponse(incoming, method);
  } catch (cause) {
    incoming.destroy();
    throw malformed(cause);
  }
}

function malformed(cause?: unknown): SessionError {
  return new SessionError("ERR_SESSION_MALFORMED", { rule: "an HTTP answer" }, { cause });
}

function toResponse(incoming: IncomingMessage, method: string): Response {
  const { statusCode: status = 0, statusMessage = "", rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  const isBodiless = method === "HEAD" || BODILESS.includes(status);
  const body = isBodiless ? null : (Readable.toWeb(incoming) as ConstructorParameters<typeof Response>[0]);
  const response = new Response(body, { status, statusText: statusMessage, headers });
  if (isBodiless) incoming.resume();
  return response;
}

interface Resolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

function withResolvers<T>(): Resolvers<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
