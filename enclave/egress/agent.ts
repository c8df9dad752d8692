/**
 * An `https.Agent` whose connections leave through the parent and whose TLS ends inside the enclave.
 *
 * The trust roots are the ones given here and no others. Node's own switches that widen trust have no effect:
 * `NODE_TLS_REJECT_UNAUTHORIZED` (verification is asked for by name), `NODE_EXTRA_CA_CERTS` and `SSL_CERT_FILE` (the
 * default store is not used), proxy variables (the way out is fixed), and the TLS fields of a single request. The
 * name that is verified is the name that was asked of the parent.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { Agent, type RequestOptions } from "node:https";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, type TLSSocket, connect as tlsConnect } from "node:tls";
import { TransportError } from "../../shared/errors/index.ts";
import type { Peer } from "../../shared/transport/address.ts";
import { canonicalHost } from "../../shared/transport/target.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { connectThroughParent } from "./connect.ts";

export interface EgressAgentOptions {
  readonly transport: Transport;
  readonly parent: Peer;
  /** The certificates that a server's chain may end in, PEM. At least one. */
  readonly tlsRoots: readonly string[];
  /** Until TLS stands, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** How many connections a host and port. Default 64. */
  readonly maxSockets?: number;
  /** Asked before each new connection; what it throws refuses it. For an enclave whose clock can not be trusted. */
  readonly permit?: () => void;
}

/**
 * Makes the agent. Connections are kept alive; `destroy()` ends them, those under way too.
 *
 * Requests fail with `TransportError`: what `connectThroughParent` throws, or `ERR_TRANSPORT_TLS_REFUSED`.
 *
 * @throws {TypeError} no root, or a root that is not one certificate in PEM
 *
 * @example
 * ```ts
 * const agent = createEgressAgent({ transport, parent, tlsRoots: platform.tlsRoots });
 * const client = new KMSClient({ requestHandler: new NodeHttpHandler({ httpsAgent: agent }) });
 * ```
 */
export function createEgressAgent(options: EgressAgentOptions): Agent {
  return new EgressAgent(options);
}

function readRoots(tlsRoots: readonly string[]): string[] {
  // An empty list would be a store that trusts nobody: a mistake, not a setting.
  if (tlsRoots.length === 0) throw new TypeError("tlsRoots must name one certificate or more");
  return tlsRoots.map((pem, index) => {
    // OpenSSL skips what it can not read in a `ca` option without a word.
    if (pem.split("-----BEGIN CERTIFICATE-----").length !== 2) {
      throw new TypeError(`tlsRoots[${index}] must be one certificate in PEM`);
    }
    return new X509Certificate(pem).toString();
  });
}

class EgressAgent extends Agent {
  readonly #transport: Transport;
  readonly #parent: Peer;
  readonly #timeoutMs: number;
  readonly #permit: () => void;
  readonly #context: SecureContext;
  /** Connections under way. */
  readonly #opening = new Set<AbortController>();

  constructor(options: EgressAgentOptions) {
    const { transport, parent, tlsRoots, timeoutMs = 10_000, maxSockets = 64, permit = () => {} } = options;
    super({ keepAlive: true, maxSockets });
    this.#transport = transport;
    this.#parent = parent;
    this.#timeoutMs = timeoutMs;
    this.#permit = permit;
    this.#context = createSecureContext({ ca: readRoots(tlsRoots), minVersion: "TLSv1.2" });
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const done = callback as ((error: Error | null, stream?: Duplex) => void) | undefined;
    this.#open(String(options.host ?? options.hostname), Number(options.port ?? 443)).then(
      (socket) => done?.(null, socket),
      (error: Error) => done?.(error),
    );
  }

  async #open(text: string, port: number): Promise<TLSSocket> {
    this.#permit();
    const host = canonicalHost(text);
    const timeoutMs = this.#timeoutMs;
    const attempt = new AbortController();
    const { signal } = attempt;
    const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: `${host}:${port}`, timeoutMs });
    const timer = setTimeout(() => attempt.abort(late), timeoutMs);
    this.#opening.add(attempt);
    try {
      const [transport, parent] = [this.#transport, this.#parent];
      const tunnel = await connectThroughParent({ transport, parent, host, port, signal, timeoutMs });
      return await this.#secure(tunnel, host, port, signal);
    } finally {
      this.#opening.delete(attempt);
      clearTimeout(timer);
    }
  }

  #secure(tunnel: Duplex, host: string, port: number, signal: AbortSignal): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = tlsConnect({
        socket: tunnel,
        host,
        ...(isIP(host) === 0 && { servername: host }),
        secureContext: this.#context,
        minVersion: "TLSv1.2",
        rejectUnauthorized: true,
        ALPNProtocols: ["http/1.1"],
      });
      // TLS over a socket takes over its half-open mode, and a connection that the server closed would wait in the
      // pool for a request that nobody answers.
      socket.allowHalfOpen = false;
      const settle = (): void => {
        signal.removeEventListener("abort", onAbort);
        socket.off("error", onError).off("close", onClose).off("secureConnect", onSecure);
      };
      const fail = (error: unknown): void => {
        settle();
        socket.on("error", () => {}).destroy();
        tunnel.destroy();
        reject(error);
      };
      const refused = (reason: string, cause?: Error): TransportError =>
        new TransportError("ERR_TRANSPORT_TLS_REFUSED", { host, port, reason }, { cause });
      const onAbort = (): void => fail(signal.reason);
      const onError = (error: Error & { readonly code?: string }): void =>
        fail(refused(error.code ?? "unknown", error));
      const onClose = (): void => fail(refused("CLOSED"));
      const onSecure = (): void => {
        // Node has checked this before it says `secureConnect`; nothing is sent on the strength of one check.
        if (!socket.authorized) {
          fail(refused("NOT_AUTHORIZED"));
          return;
        }
        settle();
        resolve(socket);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.on("error", onError).on("close", onClose).on("secureConnect", onSecure);
    });
  }

  override destroy(): void {
    const closed = new TransportError("ERR_TRANSPORT_CLOSED", { address: "the egress agent" });
    for (const attempt of this.#opening) attempt.abort(closed);
    super.destroy();
  }
}
