/**
 * TLS inside an enclave, with the answer to "who are you?" for each connection.
 *
 * The key is made here and vouched for by documents; the exporter of the connection that asks is in each (see
 * `shared/session/attested-tls.ts`), so that nobody in between can pass a document on. TLS 1.3 only: earlier versions have no
 * exporter that covers the whole handshake.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { SecureContext, TLSSocket } from "node:tls";
import { encodeUserData } from "../../shared/attestation/user-data.ts";
import { SessionError } from "../../shared/errors/session.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import {
  ATTESTATION_PATH,
  DOCUMENT_TYPE,
  EXPORTER_BYTES,
  EXPORTER_LABEL,
  TLS_PURPOSE,
  tlsDigest,
} from "../../shared/session/attested-tls.ts";
import { nonceOf } from "../../shared/session/nonce.ts";
import type { ServerTls } from "../app/server-tls.ts";
import { ACME_PROTOCOL, offersChallenge } from "./challenge-hello.ts";
import { createDocumentRate, type DocumentLimits, type DocumentRate } from "./document-rate.ts";
import {
  createHandshakes,
  type HandshakeLimits,
  type Handshakes,
  type HandshakeTerms,
  serverContext,
} from "./handshake.ts";
import { createTlsIdentity, type TlsIdentity } from "./identity.ts";

export interface AttestedTlsOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** Dates the certificate. */
  readonly now: () => Date;
  /** A clock in milliseconds that never goes back; rates are measured by it. Default `performance.now()`. */
  readonly monotonicMs?: () => number;
  readonly limits?: AttestedTlsLimits;
}

export interface AttestedTlsLimits extends HandshakeLimits {
  readonly documents?: DocumentLimits;
}

export interface AttestedTls extends ServerTls {
  readonly identity: TlsIdentity;
  /**
   * Shows these certificates from now on: the enclave's first, PEM, made over its own key.
   *
   * @throws {Error} of another key
   */
  showCertificate(chainPem: string): void;
  /**
   * Shows this certificate to whoever asks for a challenge of an authority (`acme.ts`), until the function it gives is called.
   * Such connections end with their handshake.
   */
  answerChallenge(certificatePem: string): () => void;
}

/**
 * Makes key and certificate.
 *
 * @example
 * ```ts
 * const tls = await createAttestedTls({ nsm: platform.nsm, now });
 * ```
 */
export async function createAttestedTls(options: AttestedTlsOptions): Promise<AttestedTls> {
  return new AttestedServer(options, await createTlsIdentity(options.now()));
}

class AttestedServer implements AttestedTls {
  readonly identity: TlsIdentity;
  readonly #nsm: Pick<NsmDevice, "attest">;
  readonly #rate: DocumentRate;
  readonly #handshakes: Handshakes;
  #context: SecureContext;
  #challenge: SecureContext | undefined;

  constructor({ nsm, monotonicMs = () => performance.now(), limits = {} }: AttestedTlsOptions, identity: TlsIdentity) {
    this.identity = identity;
    this.#nsm = nsm;
    this.#rate = createDocumentRate(limits.documents ?? {}, monotonicMs);
    this.#handshakes = createHandshakes(limits);
    this.#context = serverContext(identity, identity.certificatePem);
  }

  showCertificate(chainPem: string): void {
    this.#context = serverContext(this.identity, chainPem);
  }

  answerChallenge(certificatePem: string): () => void {
    const own = serverContext(this.identity, certificatePem);
    this.#challenge = own;
    return () => {
      if (this.#challenge === own) this.#challenge = undefined;
    };
  }

  async accept(socket: Duplex): Promise<TLSSocket> {
    const challenge = this.#challenge;
    const own = { secureContext: this.#context };
    if (!challenge) return this.#handshakes.accept(socket, own);
    const answering = { secureContext: challenge, protocol: ACME_PROTOCOL };
    let terms: HandshakeTerms = own;
    const secured = await this.#handshakes.accept(socket, async (raw, signal) => {
      if (await offersChallenge(raw, signal)) terms = answering;
      return terms;
    });
    if (terms === own) return secured;
    await new Promise<void>((resolve) => secured.on("error", () => {}).end(resolve));
    secured.destroy();
    socket.destroy();
    throw new SessionError("ERR_SESSION_MALFORMED", { rule: "a challenge's connection carries no requests" });
  }

  async handle(request: Request, socket: TLSSocket): Promise<Response | undefined> {
    const url = new URL(request.url);
    if (url.pathname !== ATTESTATION_PATH) return undefined;
    if (request.method !== "GET") return new Response(null, { status: 405, headers: { allow: "GET" } });
    const nonce = nonceOf(url);
    if (!nonce) return malformed();
    try {
      return documentResponse(await this.#attest(nonce, socket));
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      return Response.json(error.toJSON(), { status: 429, headers: { "retry-after": "1" } });
    }
  }

  async #attest(nonce: Uint8Array, socket: TLSSocket): Promise<Uint8Array> {
    this.#rate.take(socket);
    const { spki } = this.identity;
    const exporter = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.from(nonce));
    const userData = encodeUserData({ purpose: TLS_PURPOSE, digest: await tlsDigest({ spki, exporter }) });
    return this.#nsm.attest({ nonce, publicKey: spki, userData });
  }

  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A document as the answer to a challenge; no cache has a use for it. */
export function documentResponse(document: Uint8Array): Response {
  const headers = {
    "content-type": DOCUMENT_TYPE,
    "content-length": String(document.length),
    "cache-control": "no-store",
  };
  return new Response(Uint8Array.from(document), { headers });
}

/** What a request gets whose challenge is none. */
export function malformed(): Response {
  const error = new SessionError("ERR_SESSION_MALFORMED", { rule: "the query is nonce=, 16 to 64 bytes in base64url" });
  return Response.json(error.toJSON(), { status: 400 });
}
