/**
 * The enclave's side for browsers: gives out an attested key, opens requests that were sealed to it, seals the answers.
 *
 * It answers two paths (`shared/session/sealed-request.ts`) over whatever carries HTTP here; what is inside a sealed request
 * goes to the application's own handler. Pages come from somewhere else than the parent, or the parent could change
 * them: their origins are named, for the browser asks.
 *
 * @module
 */
import { encodeUserData } from "../../shared/attestation/user-data.ts";
import { SessionError } from "../../shared/errors/session.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { nonceOf } from "../../shared/session/nonce.ts";
import { decodeRequest, encodeAnswer, type PlainRequest } from "../../shared/session/sealed-http.ts";
import {
  REQUEST_KEY_PATH,
  REQUEST_PURPOSE,
  requestKeyDigest,
  SEALED_REQUEST_PATH,
  SEALED_TYPE,
} from "../../shared/session/sealed-request.ts";
import { documentResponse, malformed } from "./attested-tls.ts";
import { createDocumentRate, type DocumentLimits } from "./document-rate.ts";
import { createRequestKeys } from "./request-keys.ts";

export interface SealedRequestsOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** The application: gets what was inside, as if it had come by itself. */
  readonly handler: (request: Request) => Promise<Response>;
  /** Origins of pages that may ask, e.g. `https://app.example`. Default none: only clients that are no browsers. */
  readonly origins?: readonly string[];
  /** A clock in milliseconds that never goes back. Default `performance.now()`. */
  readonly monotonicMs?: () => number;
  readonly limits?: SealedRequestLimits;
}

export interface SealedRequestLimits {
  readonly documents?: Omit<DocumentLimits, "perConnection">;
  /** How long a key is given out, in milliseconds; it opens for twice as long. Default 600 000. */
  readonly keyLifetimeMs?: number;
  /** Requests that one key opens. Default 100 000. */
  readonly requestsMax?: number;
}

export interface SealedRequests {
  /** Answers the two paths; `undefined` for any other request. */
  handle(request: Request): Promise<Response | undefined>;
}

export function createSealedRequests(options: SealedRequestsOptions): SealedRequests {
  const { nsm, handler, origins = [], monotonicMs = () => performance.now(), limits = {} } = options;
  const { documents = {}, ...keyLimits } = limits;
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
    const opened = await keys.open(new Uint8Array(await request.arrayBuffer()));
    const response = await handler(toRequest(decodeRequest(opened.plaintext)));
    const plain = { status: response.status, headers: [...response.headers] };
    const sealed = await opened.sealAnswer(
      encodeAnswer({ ...plain, body: new Uint8Array(await response.arrayBuffer()) }),
    );
    return new Response(Uint8Array.from(sealed), {
      headers: { "content-type": SEALED_TYPE, "cache-control": "no-store" },
    });
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
        const status = error.code === "ERR_SESSION_DOCUMENT_LIMIT" ? 429 : 422;
        return withOrigin(Response.json(error.toJSON(), { status }), allowed);
      }
    },
  };
}

function toRequest({ method, path, headers, body }: PlainRequest): Request {
  const hasBody = method !== "GET" && method !== "HEAD";
  return new Request(new URL(`http://enclave${path}`), {
    ...{ method, headers: headers.map(([name, value]): [string, string] => [name, value]) },
    ...(hasBody && { body: Uint8Array.from(body) }),
  });
}

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
