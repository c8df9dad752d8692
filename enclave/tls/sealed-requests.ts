/**
 * The enclave's side for browsers: gives out an attested key, opens requests that were sealed to it, seals the answers.
 *
 * It answers two paths (`shared/session/sealed-request.ts`) over whatever carries HTTP here; what is inside a sealed request
 * goes to the application's own handler. Pages come from somewhere else than the parent, or the parent could change
 * them: their origins are named, for the browser asks.
 *
 * What was wrong with a message is said in plain, for there is nobody it could be sealed to. Once a request is open, all that comes
 * of it is sealed, an error of the application as much as its answer.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { encodeUserData } from "../../shared/attestation/user-data.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { SessionError } from "../../shared/errors/session.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { readBounded } from "../../shared/session/bounded-body.ts";
import { nonceOf } from "../../shared/session/nonce.ts";
import { decodeRequest, encodeAnswer, type PlainRequest } from "../../shared/session/sealed-http.ts";
import {
  REQUEST_KEY_PATH,
  REQUEST_PURPOSE,
  requestKeyDigest,
  SEALED_REQUEST_PATH,
  SEALED_TYPE,
} from "../../shared/session/sealed-request.ts";
import { refusal } from "../app/exchange.ts";
import { documentResponse, malformed } from "./attested-tls.ts";
import { createDocumentRate, type DocumentLimits } from "./document-rate.ts";
import { createRequestKeys, type RequestKeysOptions } from "./request-keys.ts";

export interface SealedRequestsOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** The application: gets what was inside, as if it had come by itself. */
  readonly handler: (request: Request) => Promise<Response>;
  /** Told of each error of the handler that is not a refusal of this toolkit, with the number that the client gets instead. */
  readonly onInternalError: (error: unknown, id: string) => void;
  /** Origins of pages that may ask, e.g. `https://app.example`. Default none: only clients that are no browsers. */
  readonly origins?: readonly string[];
  /** A clock in milliseconds that never goes back. Default `performance.now()`. */
  readonly monotonicMs?: () => number;
  readonly limits?: SealedRequestLimits;
}

export interface SealedRequestLimits extends Pick<RequestKeysOptions, "keyLifetimeMs" | "requestsMax"> {
  readonly documents?: Omit<DocumentLimits, "perConnection">;
  /** Largest sealed request in bytes; it is held whole. Default 4 MiB. */
  readonly bodyMax?: number;
}

export interface SealedRequests {
  /** Answers the two paths; `undefined` for any other request. */
  handle(request: Request): Promise<Response | undefined>;
}

const BODY_MAX = 4 * 1_048_576;

/** @throws {RangeError} a limit that is no whole number of 1 or more */
export function createSealedRequests(options: SealedRequestsOptions): SealedRequests {
  const { nsm, origins = [], monotonicMs = () => performance.now(), limits = {} } = options;
  const { documents = {}, bodyMax = BODY_MAX, ...keyLimits } = limits;
  if (!Number.isSafeInteger(bodyMax) || bodyMax < 1) throw new RangeError(`bodyMax is 1 or more, not ${bodyMax}`);
  const keys = createRequestKeys({ ...keyLimits, monotonicMs });
  const rate = createDocumentRate(documents, monotonicMs);

  const giveKey = async (url: URL): Promise<Response> => {
    const nonce = nonceOf(url);
    if (!nonce) return malformed();
    rate.take({});
    const publicKey = await keys.present();
    const userData = encodeUserData({ purpose: REQUEST_PURPOSE, digest: await requestKeyDigest(publicKey) });
    return documentResponse(await nsm.attest({ nonce, publicKey, userData }));
  };
  const answer = async (request: Request): Promise<Response> => {
    const message = await readBounded(request, bodyMax);
    if (!message) throw new SessionError("ERR_SESSION_TOO_LARGE", { message: "request", maximum: bodyMax });
    const { plaintext, sealAnswer } = await keys.open(message);
    const sealed = await sealAnswer(await plainAnswer(plaintext, options));
    const headers = { "content-type": SEALED_TYPE, "cache-control": "no-store" };
    return new Response(ReadableStream.from([sealed]), { headers });
  };

  return {
    async handle(request) {
      const url = new URL(request.url);
      const expected = METHODS.get(url.pathname);
      if (!expected) return undefined;
      const origin = request.headers.get("origin");
      const allowed = origin !== null && origins.includes(origin) ? origin : undefined;
      if (request.method === "OPTIONS") return withOrigin(new Response(null, { status: 204 }), allowed);
      if (request.method !== expected) return new Response(null, { status: 405, headers: { allow: expected } });
      try {
        return withOrigin(expected === "GET" ? await giveKey(url) : await answer(request), allowed);
      } catch (error) {
        if (!(error instanceof SessionError)) throw error;
        return withOrigin(Response.json(error.toJSON(), { status: PLAIN_STATUS.get(error.code) ?? 422 }), allowed);
      }
    },
  };
}

/** What goes back to whoever sealed the request. Throws nothing: it would leave in plain, and say what was asked. */
async function plainAnswer(
  plaintext: Uint8Array,
  { handler, onInternalError }: Pick<SealedRequestsOptions, "handler" | "onInternalError">,
): Promise<Uint8Array> {
  try {
    return await encode(await handler(toRequest(decodeRequest(plaintext))));
  } catch (error) {
    const id = randomUUID();
    if (!isToolkitError(error)) onInternalError(error, id);
    return encode(refusal(error, id));
  }
}

async function encode(response: Response): Promise<Uint8Array> {
  if (!(response instanceof Response)) throw new TypeError("a handler gives a Response");
  const body = new Uint8Array(await response.arrayBuffer());
  return encodeAnswer({ status: response.status, headers: [...response.headers], body });
}

function toRequest({ method, path, headers, body }: PlainRequest): Request {
  const hasBody = method !== "GET" && method !== "HEAD";
  // What frames a message is not inside it: the body is here, whole.
  const kept = headers.filter(([name]) => !FRAMING.includes(name.toLowerCase()));
  return new Request(new URL(`http://enclave${path}`), {
    ...{ method, headers: kept.map(([name, value]): [string, string] => [name, value]) },
    // As a stream: bytes would be copied.
    ...(hasBody && { body: ReadableStream.from([body]), duplex: "half" }),
  });
}

const FRAMING = ["content-length", "transfer-encoding", "connection", "host", "expect", "upgrade", "te", "trailer"];

const PLAIN_STATUS: ReadonlyMap<string, number> = new Map([
  ["ERR_SESSION_DOCUMENT_LIMIT", 429],
  ["ERR_SESSION_TOO_LARGE", 413],
]);

const METHODS: ReadonlyMap<string, "GET" | "POST"> = new Map([
  [REQUEST_KEY_PATH, "GET"],
  [SEALED_REQUEST_PATH, "POST"],
]);

function withOrigin(response: Response, origin: string | undefined): Response {
  if (origin === undefined) return response;
  response.headers.set("access-control-allow-origin", origin);
  response.headers.set("access-control-allow-headers", "content-type");
  response.headers.set("access-control-max-age", "600");
  response.headers.append("vary", "origin");
  return response;
}
