/**
 * An `https.Agent` that talks to attested enclaves only.
 *
 *   TLS 1.3 handshake → challenge → document → verified under the policy and bound to this very connection
 *   → only then the first byte of a request
 *
 * Certificates count for nothing here, whoever signed them: the parent of an enclave can get a public one for its name. What
 * counts is that the key in the certificate, and this connection's exporter, are what the document vouches for.
 *
 * No TLS session is resumed: each connection is a full handshake with a document of its own. Connections are kept
 * alive and used again, up to an age.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { ClientRequest } from "node:http";
import { Agent, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { type ChainCache, createChainCache, type VerifiedAttestation } from "../shared/attestation/index.ts";
import { readPolicy } from "../shared/attestation/policy.ts";
import { TransportError } from "../shared/errors/index.ts";
import { EXPORTER_BYTES, EXPORTER_LABEL, TLS_PURPOSE, tlsDigest } from "../shared/session/attested-tls.ts";
import { type EnclavePolicy, verifyBoundDocument } from "../shared/session/bound-document.ts";
import { NONCE_BYTES } from "../shared/session/nonce.ts";
import { askDocument } from "./ask-document.ts";
import { RequestGate } from "./request-gate.ts";
import { type Opening, secureConnect } from "./secure-connect.ts";

export interface AttestedAgentOptions {
  /** Until a connection is verified, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** How long a verified connection is used, in milliseconds. Default 3 600 000: an hour after an image is revoked at the latest. */
  readonly sessionMaxAgeMs?: number;
  /** Connections to one host and port, and so requests at once; further ones wait. Default 64. */
  readonly maxSockets?: number;
  /** The moment to judge at. Default: the system's clock. */
  readonly now?: () => Date;
  /** How connections are made. Default TCP, to the host and port of the URL. */
  readonly connect?: (target: Opening) => Promise<Duplex>;
}

/** Made by `createAttestedAgent`; works wherever Node takes an `https.Agent`. */
export interface AttestedAgent extends Agent {
  /** Who stands at the other end of a connection of this agent. */
  attestationOf(socket: Duplex): VerifiedAttestation | undefined;
}

const DEFAULT_PORT = 443;

/**
 * Requests through it fail with the refusal itself: `AttestationError`, `SessionError` (`ERR_SESSION_RELAYED`,
 * `ERR_SESSION_UNATTESTED`) or `TransportError`; the server has not seen a byte of them then.
 *
 * @throws {ConfigError} the policy is incomplete
 *
 * @example
 * ```ts
 * const agent = createAttestedAgent(policy);
 * https.get("https://enclave.example/balance", { agent }, onResponse);
 * ```
 */
export function createAttestedAgent(policy: EnclavePolicy, options: AttestedAgentOptions = {}): AttestedAgent {
  readPolicy({ ...policy, nonce: "unchecked", userData: "unchecked", publicKey: "unchecked" });
  return new VerifyingAgent(policy, options);
}

/** Whether requests through it are verified: no other agent is one of these, whatever it looks like. */
export function isAttestedAgent(agent: unknown): agent is AttestedAgent {
  return agent instanceof VerifyingAgent;
}

/** What a request calls to be sent; Node's types leave it out. */
interface Sending {
  addRequest(request: ClientRequest, options: RequestOptions): void;
}

class VerifyingAgent extends Agent implements AttestedAgent {
  readonly #policy: EnclavePolicy;
  readonly #options: AttestedAgentOptions;
  readonly #timeoutMs: number;
  readonly #sessionMaxAgeMs: number;
  readonly #chains: ChainCache = createChainCache();
  readonly #verified = new WeakMap<Duplex, VerifiedAttestation>();
  /** Too old for another request. */
  readonly #expired = new WeakSet<Duplex>();
  /** Connections under way. */
  readonly #opening = new Set<AbortController>();
  readonly #gate: RequestGate;

  constructor(policy: EnclavePolicy, options: AttestedAgentOptions) {
    const { timeoutMs = 10_000, sessionMaxAgeMs = 3_600_000, maxSockets = 64 } = options;
    for (const [name, value] of Object.entries({ timeoutMs, sessionMaxAgeMs, maxSockets })) {
      if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is 1 or more, not ${value}`);
    }
    super({ keepAlive: true, maxCachedSessions: 0 });
    this.#gate = new RequestGate(maxSockets);
    this.#policy = structuredClone(policy);
    this.#options = options;
    this.#timeoutMs = timeoutMs;
    this.#sessionMaxAgeMs = sessionMaxAgeMs;
  }

  attestationOf(socket: Duplex): VerifiedAttestation | undefined {
    return this.#verified.get(socket);
  }

  addRequest(request: ClientRequest, options: RequestOptions): void {
    const pass = (): void => (Agent.prototype as unknown as Sending).addRequest.call(this, request, options);
    this.#gate.enter(`${options.host ?? options.hostname}:${options.port ?? DEFAULT_PORT}`, { request, pass });
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const done = callback as ((error: Error | null, stream?: Duplex) => void) | undefined;
    this.#open(String(options.host ?? options.hostname), Number(options.port ?? DEFAULT_PORT)).then(
      (socket) => done?.(null, socket),
      (error: Error) => done?.(error),
    );
  }

  override keepSocketAlive(socket: Duplex): boolean {
    // Node's answer is false where the server asked for the end; its types have none.
    const mayLive: unknown = super.keepSocketAlive(socket);
    return mayLive !== false && !this.#expired.has(socket);
  }

  async #open(host: string, port: number): Promise<TLSSocket> {
    const timeoutMs = this.#timeoutMs;
    const attempt = new AbortController();
    const address = `${host}:${port}`;
    const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address, timeoutMs });
    const timer = setTimeout(() => attempt.abort(late), timeoutMs);
    this.#opening.add(attempt);
    try {
      const opening = { host, port, signal: attempt.signal };
      const socket = await secureConnect(opening, this.#options.connect);
      try {
        this.#verified.set(socket, await this.#verify(socket, opening));
        attempt.signal.throwIfAborted();
      } catch (error) {
        socket.destroy();
        throw error;
      }
      this.#expireLater(socket);
      socket.resume();
      return socket;
    } finally {
      this.#opening.delete(attempt);
      clearTimeout(timer);
    }
  }

  async #verify(socket: TLSSocket, { host, port, signal }: Opening): Promise<VerifiedAttestation> {
    const nonce = randomBytes(NONCE_BYTES);
    const spki = serverKey(socket);
    const exporter = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, nonce);
    const digest = await tlsDigest({ spki, exporter });
    const asking = { nonce, address: `${host}:${port}`, timeoutMs: this.#timeoutMs, signal };
    const document = await askDocument(socket, asking);
    return verifyBoundDocument(document, {
      policy: this.#policy,
      binding: { nonce, purpose: TLS_PURPOSE, digest, publicKey: spki },
      chainCache: this.#chains,
      ...(this.#options.now && { now: this.#options.now() }),
    });
  }

  /** Used up to its age: idle it ends then, busy it ends with the request under way. */
  #expireLater(socket: TLSSocket): void {
    const timer = setTimeout(() => {
      this.#expired.add(socket);
      if (Object.values(this.freeSockets).some((idle) => idle?.includes(socket))) socket.destroy();
    }, this.#sessionMaxAgeMs);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  }

  override destroy(): void {
    const closed = new TransportError("ERR_TRANSPORT_CLOSED", { address: "the attested agent" });
    for (const attempt of this.#opening) attempt.abort(closed);
    this.#gate.refuse(closed);
    super.destroy();
  }
}

/** The key that the server proved to hold in the handshake. */
function serverKey(socket: TLSSocket): Uint8Array {
  const certificate = socket.getPeerX509Certificate();
  // Not reached with a certificate's handshake; a session without one has nothing that a document could name.
  if (!certificate) throw new TypeError("a TLS server shows a certificate");
  return new Uint8Array(certificate.publicKey.export({ type: "spki", format: "der" }));
}
