/**
 * Talks to an attested enclave from where TLS can not be looked into: a browser, a worker, an edge runtime.
 *
 *   challenge → document → verified: this key is an allowed enclave's → each request sealed to it, each answer opened
 *
 * Whoever carries the messages, the parent above all, sees their sizes and times. It can withhold them, and can not read or change
 * them, or have one taken twice. Uses WebCrypto and `fetch` only.
 *
 * The page that runs this code is trusted: it must not come from the parent, which could change it.
 *
 * @module
 */
import { createChainCache, type VerifiedAttestation } from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { DOCUMENT_MAX } from "../../shared/attestation/parse.ts";
import { readPolicy } from "../../shared/attestation/policy.ts";
import { AttestationError } from "../../shared/errors/attestation.ts";
import { SessionError } from "../../shared/errors/session.ts";
import { TransportError } from "../../shared/errors/transport.ts";
import { type EnclavePolicy, verifyBoundDocument } from "../../shared/session/bound-document.ts";
import { readBounded } from "../../shared/session/bounded-body.ts";
import { NONCE_BYTES, toBase64Url } from "../../shared/session/nonce.ts";
import { decodeAnswer, encodeRequest } from "../../shared/session/sealed-http.ts";
import {
  REQUEST_KEY_PATH,
  REQUEST_PURPOSE,
  requestKeyDigest,
  SEALED_REQUEST_PATH,
  SEALED_TYPE,
  sealRequest,
} from "../../shared/session/sealed-request.ts";

export interface SealedClientOptions {
  /** Where the enclave is reached, e.g. `https://enclave.example`; path and query are not used. */
  readonly url: string | URL;
  readonly policy: EnclavePolicy;
  /** How long a key is used before a new document is asked for, in milliseconds. Default 300 000, half of what enclaves give. */
  readonly keyMaxAgeMs?: number;
  /** Until a document has come, in milliseconds. Default 10 000. How long a request may take is its own `signal`'s to say. */
  readonly timeoutMs?: number;
  /** Largest sealed answer in bytes. Default 64 MiB. */
  readonly answerMax?: number;
  /** The platform's by default. */
  readonly fetch?: typeof globalThis.fetch;
  /** The moment to judge at. Default: the system's clock. */
  readonly now?: () => Date;
  /** A clock in milliseconds that never goes back. Default `performance.now()`. */
  readonly monotonicMs?: () => number;
}

export interface SealedInit {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Gives up waiting, for the enclave's key as for the answer. */
  readonly signal?: AbortSignal;
}

export interface SealedClient {
  /**
   * Sends one request, whole, and opens its answer.
   *
   * Nothing is sent a second time by itself: `ERR_SESSION_KEY_UNKNOWN` says that the enclave has another key by now, and
   * whoever says so is not verified; the next call asks for it.
   *
   * @param path path and query, e.g. `/rows?x=1`
   * @throws {AttestationError | SessionError | TransportError}
   */
  fetch(path: string, init?: SealedInit): Promise<Response>;
  /** Who the requests are sealed to; asks for a document when there is none. */
  attestation(): Promise<VerifiedAttestation>;
}

interface AttestedKey {
  readonly spki: Uint8Array;
  readonly attestation: VerifiedAttestation;
  readonly askedAt: number;
}

/** SubjectPublicKeyInfo of a P-384 key. */
const REQUEST_KEY_BYTES = 120;
const BODILESS: readonly number[] = [204, 205, 304];
/** Bytes of a refusal that are read: it is a code and a sentence. */
const REFUSAL_MAX = 4_096;
const MIB = 1_048_576;

/**
 * @throws {ConfigError} the policy is incomplete
 * @throws {RangeError} a limit that is no whole number of 1 or more
 *
 * @example
 * ```ts
 * const enclave = createSealedClient({ url: "https://enclave.example", policy });
 * const response = await enclave.fetch("/vote", { method: "POST", body: ballot });
 * ```
 */
export function createSealedClient(options: SealedClientOptions): SealedClient {
  readPolicy({ ...options.policy, nonce: "unchecked", userData: "unchecked", publicKey: "unchecked" });
  return new Client(options);
}

class Client implements SealedClient {
  readonly #base: URL;
  readonly #policy: EnclavePolicy;
  readonly #keyMaxAgeMs: number;
  readonly #timeoutMs: number;
  readonly #answerMax: number;
  readonly #fetch: typeof globalThis.fetch;
  readonly #now: () => Date;
  readonly #monotonicMs: () => number;
  readonly #chains = createChainCache();
  #key: Promise<AttestedKey> | undefined;

  constructor(options: SealedClientOptions) {
    const { url, policy, keyMaxAgeMs = 300_000, fetch = globalThis.fetch, now = () => new Date() } = options;
    const { timeoutMs = 10_000, answerMax = 64 * MIB } = options;
    for (const [name, value] of Object.entries({ keyMaxAgeMs, timeoutMs, answerMax })) {
      if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is 1 or more, not ${value}`);
    }
    this.#base = new URL(url);
    this.#timeoutMs = timeoutMs;
    this.#answerMax = answerMax;
    this.#policy = structuredClone(policy);
    this.#keyMaxAgeMs = keyMaxAgeMs;
    // Called without a receiver: browsers insist.
    this.#fetch = (...call) => fetch(...call);
    this.#now = now;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  async attestation(): Promise<VerifiedAttestation> {
    return (await this.#present()).attestation;
  }

  fetch(path: string, init: SealedInit = {}): Promise<Response> {
    return orAborted(this.#send(path, init), init.signal);
  }

  async #send(path: string, init: SealedInit): Promise<Response> {
    const { method = "GET", headers = {}, body = new Uint8Array(), signal } = init;
    const { spki } = await this.#present();
    signal?.throwIfAborted();
    const fields = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const plain = encodeRequest({ method, path, headers: fields, body: bytes });
    const { message, openAnswer } = await sealRequest(plain, spki);
    const response = await this.#fetch(new URL(SEALED_REQUEST_PATH, this.#base), {
      method: "POST",
      headers: { "content-type": SEALED_TYPE },
      body: Uint8Array.from(message),
      redirect: "error",
      ...(signal && { signal }),
    });
    if (response.status !== 200) throw await this.#refusal(response);
    const sealed = await readBounded(response, this.#answerMax);
    if (!sealed) throw new SessionError("ERR_SESSION_TOO_LARGE", { message: "answer", maximum: this.#answerMax });
    const answer = decodeAnswer(await openAnswer(sealed));
    const content = BODILESS.includes(answer.status) || method === "HEAD" ? null : Uint8Array.from(answer.body);
    const list = answer.headers.map(([name, value]): [string, string] => [name, value]);
    return new Response(content, { status: answer.status, headers: list });
  }

  /** The key in use; one document serves all who wait for it. */
  async #present(): Promise<AttestedKey> {
    const asked = this.#key;
    const known = await asked?.catch(() => undefined);
    if (known && this.#monotonicMs() - known.askedAt < this.#keyMaxAgeMs) return known;
    // Of those who waited for the same key the first asks again.
    if (this.#key === asked) this.#key = this.#ask();
    return this.#key ?? this.#present();
  }

  /** Ends in time: all who come later wait for it. */
  async #ask(): Promise<AttestedKey> {
    const attempt = new AbortController();
    const timeoutMs = this.#timeoutMs;
    const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: this.#base.origin, timeoutMs });
    const timer = setTimeout(() => attempt.abort(late), timeoutMs);
    try {
      return await orAborted(this.#askUntil(attempt.signal), attempt.signal);
    } finally {
      clearTimeout(timer);
      // What is left of an answer that was refused.
      attempt.abort();
    }
  }

  async #askUntil(signal: AbortSignal): Promise<AttestedKey> {
    const askedAt = this.#monotonicMs();
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const url = new URL(`${REQUEST_KEY_PATH}?nonce=${toBase64Url(nonce)}`, this.#base);
    const response = await this.#fetch(url, { redirect: "error", signal });
    if (response.status !== 200) {
      throw new SessionError("ERR_SESSION_UNATTESTED", { reason: `HTTP ${response.status}` });
    }
    const document = await readBounded(response, DOCUMENT_MAX);
    if (!document) throw new SessionError("ERR_SESSION_UNATTESTED", { reason: `more than ${DOCUMENT_MAX} bytes` });
    return { ...(await this.#verify(document, nonce)), askedAt };
  }

  async #verify(document: Uint8Array, nonce: Uint8Array): Promise<Omit<AttestedKey, "askedAt">> {
    const judging = { policy: this.#policy, now: this.#now(), chainCache: this.#chains };
    const claimed = { nonce, purpose: REQUEST_PURPOSE, publicKey: "unchecked" } as const;
    // The key comes with the document: it is what the document says it vouches for, or nothing.
    const { publicKey } = decodeAttestationUnverified(document);
    if (!publicKey) {
      const lengths = { expectedBytes: REQUEST_KEY_BYTES, actualBytes: -1 };
      throw new AttestationError("ERR_ATTESTATION_PUBLIC_KEY_MISMATCH", lengths);
    }
    const digest = await requestKeyDigest(publicKey);
    const attestation = await verifyBoundDocument(document, { ...judging, binding: { ...claimed, publicKey, digest } });
    return { spki: publicKey, attestation };
  }

  async #refusal(response: Response): Promise<Error> {
    const text = new TextDecoder().decode(await readBounded(response, REFUSAL_MAX));
    if (response.status === 422 && text.includes('"ERR_SESSION_KEY_UNKNOWN"')) {
      this.#key = undefined;
      return new SessionError("ERR_SESSION_KEY_UNKNOWN", {});
    }
    const address = this.#base.origin;
    return new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason: `HTTP ${response.status}` });
  }
}

/** Whoever carries the messages may ignore the signal, or the platform's `fetch` not have been handed it. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
