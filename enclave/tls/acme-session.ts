/**
 * One account's conversation with an ACME server: signed requests, nonces, problems.
 *
 * Source: RFC 8555 §6.2 (JWS), §6.5 (nonces), §6.7 (problems), §7.3 (account); RFC 7638 (thumbprint).
 *
 * @module
 */
import type { webcrypto } from "node:crypto";
import { SessionError } from "../../shared/errors/session.ts";

export interface AcmeAccount {
  /** P-256, for ECDSA. Whoever has it can speak for the account. */
  readonly keys: webcrypto.CryptoKeyPair;
  /** `mailto:` URLs. Default none. */
  readonly contact?: readonly string[];
}

export interface AcmeSessionOptions {
  readonly directory: string | URL;
  readonly account: AcmeAccount;
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>;
  readonly signal: AbortSignal;
}

export interface AcmeAnswer {
  /** Where the object is that was made, if one was. */
  readonly location: string | undefined;
  /** How long to wait before asking again, in milliseconds, where the server says so. */
  readonly retryAfterMs: number | undefined;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

const NONCE_TRIES = 10;
const TEXT_MAX = 262_144;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const BAD_NONCE = "urn:ietf:params:acme:error:badNonce";

export class AcmeSession {
  readonly #options: AcmeSessionOptions;
  readonly #jwk: { readonly crv: string; readonly kty: string; readonly x: string; readonly y: string };
  #directory: Readonly<Record<string, unknown>> = {};
  #accountUrl: string | undefined;
  #nonce: string | undefined;

  private constructor(options: AcmeSessionOptions, { x = "", y = "" }: webcrypto.JsonWebKey) {
    this.#options = options;
    this.#jwk = { crv: "P-256", kty: "EC", x, y };
  }

  /** Finds the account of this key, or makes one: the terms of service are agreed to. */
  static async open(options: AcmeSessionOptions): Promise<AcmeSession> {
    const jwk = await crypto.subtle.exportKey("jwk", options.account.keys.publicKey);
    const session = new AcmeSession(options, jwk);
    const { fetch, directory, signal } = options;
    session.#directory = readJson("directory", await textOf(await fetch(String(directory), { signal })));
    const { contact = [] } = options.account;
    const payload = { termsOfServiceAgreed: true, ...(contact.length > 0 && { contact }) };
    const { location } = await session.post("account", session.urlOf("newAccount"), payload);
    if (location === undefined) throw refused("account", "no location");
    session.#accountUrl = location;
    return session;
  }

  /** What CAA's `accounturi` names. */
  get accountUrl(): string {
    return this.#accountUrl ?? "";
  }

  urlOf(resource: string): string {
    return httpsUrl("directory", this.#directory[resource]);
  }

  /** What the answer to a challenge must show. */
  async keyAuthorization(token: string): Promise<string> {
    const digest = await crypto.subtle.digest("SHA-256", Buffer.from(JSON.stringify(this.#jwk)));
    return `${token}.${Buffer.from(digest).toString("base64url")}`;
  }

  /**
   * A signed request; without a payload it only reads.
   *
   * @param step names it in errors
   * @throws {SessionError} `ERR_SESSION_CERTIFICATE`
   */
  async post(step: string, url: string, payload?: object): Promise<AcmeAnswer> {
    for (let tries = 1; ; tries++) {
      const body = await this.#sign(url, payload, await this.#takeNonce());
      const headers = { "content-type": "application/jose+json" };
      const { fetch, signal } = this.#options;
      const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "error" });
      this.#nonce = response.headers.get("replay-nonce") ?? undefined;
      const text = await textOf(response);
      if (response.ok) return answerOf(response, text);
      const type = String(readJson(step, text)["type"]);
      if (type === BAD_NONCE && tries < NONCE_TRIES) continue;
      throw refused(step, /^[\w:.-]{1,100}$/.test(type) && type !== "undefined" ? type : `HTTP ${response.status}`);
    }
  }

  async #takeNonce(): Promise<string> {
    const known = this.#nonce;
    this.#nonce = undefined;
    if (known !== undefined) return known;
    const { fetch, signal } = this.#options;
    const response = await fetch(this.urlOf("newNonce"), { method: "HEAD", signal });
    const nonce = response.headers.get("replay-nonce");
    if (nonce === null) throw refused("nonce", `HTTP ${response.status}`);
    return nonce;
  }

  async #sign(url: string, payload: object | undefined, nonce: string): Promise<string> {
    const identity = this.#accountUrl === undefined ? { jwk: this.#jwk } : { kid: this.#accountUrl };
    const header = base64Url(JSON.stringify({ alg: "ES256", nonce, url, ...identity }));
    const content = payload === undefined ? "" : base64Url(JSON.stringify(payload));
    const { privateKey } = this.#options.account.keys;
    const signature = await crypto.subtle.sign(SIGNING, privateKey, Buffer.from(`${header}.${content}`));
    return JSON.stringify({
      protected: header,
      payload: content,
      signature: Buffer.from(signature).toString("base64url"),
    });
  }
}

/** @throws {SessionError} what the authority names is no https URL */
export function httpsUrl(step: string, value: unknown): string {
  if (typeof value !== "string" || !URL.canParse(value) || new URL(value).protocol !== "https:") {
    throw refused(step, "no https URL");
  }
  return value;
}

export function refused(step: string, reason: string): SessionError {
  return new SessionError("ERR_SESSION_CERTIFICATE", { step, reason });
}

function base64Url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

async function textOf(response: Response): Promise<string> {
  const text = await response.text();
  if (text.length > TEXT_MAX) throw refused("answer", `${text.length} characters`);
  return text;
}

function answerOf({ headers }: Response, text: string): AcmeAnswer {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  const isJson = headers.get("content-type")?.startsWith("application/json") === true;
  return {
    location: headers.get("location") ?? undefined,
    retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined,
    text,
    json: isJson ? readJson("answer", text) : {},
  };
}

function readJson(step: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Its message would quote the text.
  }
  throw refused(step, "not JSON");
}
