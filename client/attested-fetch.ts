/**
 * `fetch` to an attested enclave: the server is verified before one byte of the request leaves.
 *
 * What it gives is a web-standard `Response` whose body streams. It does less than the platform's `fetch` on purpose:
 * redirects are handed back and not followed, nothing is cached, no cookies are kept, no proxy variable is read.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import type { VerifiedAttestation } from "../shared/attestation/index.ts";
import type { EnclavePolicy } from "../shared/session/bound-document.ts";
import { type AttestedAgent, createAttestedAgent } from "./attested-agent.ts";

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
const BODILESS: readonly number[] = [101, 204, 205, 304];

/**
 * @throws {AttestationError} the server's document is refused
 * @throws {SessionError} `ERR_SESSION_RELAYED`, `ERR_SESSION_UNATTESTED`
 * @throws {TransportError} it is not reached, or TLS 1.3 does not come about
 *
 * @example
 * ```ts
 * const response = await attestedFetch("https://enclave.example/rows", { policy, method: "POST", body: rows });
 * ```
 */
export async function attestedFetch(url: string | URL, init: AttestedFetchInit): Promise<Response> {
  const target = new URL(url);
  if (target.protocol !== "https:") throw new TypeError(`attestedFetch takes an https URL, not ${target.protocol}`);
  const agent = init.agent ?? agentOf(init.policy);
  const { method = "GET", signal } = init;
  const { headers, body } = readBody(init);
  const { promise, resolve, reject } = withResolvers<IncomingMessage>();
  const outgoing = request(target, { agent, method, headers, ...(signal && { signal }) });
  // Not once: a connection may fail a second time after the answer has begun, and nobody else listens.
  outgoing.once("response", resolve).on("error", reject);
  if (body instanceof Readable) pipeline(body, outgoing).catch(reject);
  else outgoing.end(body);
  const incoming = await promise;
  const response = toResponse(incoming, method);
  const attestation = agent.attestationOf(incoming.socket);
  if (attestation) attestations.set(response, attestation);
  return response;
}

/** What the enclave proved to be that gave this answer; `undefined` for what did not come from `attestedFetch`. */
export function attestationOf(response: Response): VerifiedAttestation | undefined {
  return attestations.get(response);
}

function agentOf(policy: EnclavePolicy): AttestedAgent {
  const known = agents.get(policy);
  if (known) return known;
  const agent = createAttestedAgent(policy);
  agents.set(policy, agent);
  return agent;
}

interface Outgoing {
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | Readable | undefined;
}

function readBody({ headers: given, body }: RequestInit): Outgoing {
  const headers = new Headers(given as ConstructorParameters<typeof Headers>[0]);
  if (typeof body === "string" || body instanceof Uint8Array || body === null || body === undefined) {
    if (typeof body === "string" && !headers.has("content-type"))
      headers.set("content-type", "text/plain;charset=UTF-8");
    return { headers: Object.fromEntries(headers), body: body ?? undefined };
  }
  const standard = new Response(body as ConstructorParameters<typeof Response>[0]);
  const type = standard.headers.get("content-type");
  if (type && !headers.has("content-type")) headers.set("content-type", type);
  const stream = standard.body ? Readable.fromWeb(standard.body as ReadableStream) : undefined;
  return { headers: Object.fromEntries(headers), body: stream };
}

function toResponse(incoming: IncomingMessage, method: string): Response {
  const { statusCode: status = 0, statusMessage = "", rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  const isBodiless = method === "HEAD" || BODILESS.includes(status);
  if (isBodiless) incoming.resume();
  const body = isBodiless ? null : (Readable.toWeb(incoming) as ConstructorParameters<typeof Response>[0]);
  return new Response(body, { status, statusText: statusMessage, headers });
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
