/**
 * The server's side of a TLS 1.3 handshake over any `Duplex`, under a deadline and a bound on how many are under way: where
 * one more comes, the one that has waited longest gives up its place, so that silent clients keep nobody out.
 *
 * No session is resumed: the context keeps none and seals none into tickets, so each connection is a full handshake, with
 * forward secrecy of its own and the server's key in it. A document would be needed for a resumed one all the same
 * (`docs/attested-tls.md`).
 *
 * @module
 */
import { constants } from "node:crypto";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { SessionError } from "../../shared/errors/session.ts";
import { TransportError } from "../../shared/errors/transport.ts";
import type { TlsIdentity } from "./identity.ts";

export interface HandshakeLimits {
  /** From the connection to the end of the handshake, in milliseconds. Default 10 000. */
  readonly handshakeTimeoutMs?: number;
  /** Handshakes under way at once; one more ends the oldest. Default 128. */
  readonly handshakesMax?: number;
}

export interface Handshakes {
  /** @throws {TransportError | SessionError} both sockets are destroyed then */
  accept(socket: Duplex, terms: HandshakeTerms | ChooseTerms): Promise<TLSSocket>;
}

export interface HandshakeTerms {
  readonly secureContext: SecureContext;
  /** Default `http/1.1`. */
  readonly protocol?: string;
}

/** Settles the terms by what the client says first; its time counts as the handshake's. */
export type ChooseTerms = (socket: Duplex, signal: AbortSignal) => Promise<HandshakeTerms>;

export function createHandshakes({ handshakeTimeoutMs = 10_000, handshakesMax = 128 }: HandshakeLimits): Handshakes {
  for (const [name, value] of Object.entries({ handshakeTimeoutMs, handshakesMax })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`limits.${name} is 1 or more, not ${value}`);
  }
  const late = { address: "the client's handshake", timeoutMs: handshakeTimeoutMs };
  const underWay = new Set<AbortController>();
  return {
    async accept(socket, terms) {
      const attempt = new AbortController();
      const [oldest] = underWay;
      if (oldest && underWay.size >= handshakesMax) {
        underWay.delete(oldest);
        oldest.abort(new SessionError("ERR_SESSION_HANDSHAKE_LIMIT", { limit: handshakesMax }));
      }
      underWay.add(attempt);
      const timer = setTimeout(
        () => attempt.abort(new TransportError("ERR_TRANSPORT_TIMEOUT", late)),
        handshakeTimeoutMs,
      );
      const { signal } = attempt;
      socket.on("error", () => {});
      try {
        return await handshake(socket, typeof terms === "function" ? await terms(socket, signal) : terms, signal);
      } catch (error) {
        socket.destroy();
        throw error;
      } finally {
        clearTimeout(timer);
        underWay.delete(attempt);
      }
    },
  };
}

/** What a server shows: this key in these certificates (PEM), in TLS 1.3 alone. */
export function serverContext({ keyPem }: Pick<TlsIdentity, "keyPem">, certificatesPem: string): SecureContext {
  const versions = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;
  return createSecureContext({
    ...versions,
    ...{ key: keyPem, cert: certificatesPem, secureOptions: constants.SSL_OP_NO_TICKET },
  });
}

function handshake(raw: Duplex, terms: HandshakeTerms, signal: AbortSignal): Promise<TLSSocket> {
  const { secureContext, protocol = "http/1.1" } = terms;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: [protocol] });
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      raw.off("end", onGone).off("close", onGone);
      socket.off("secure", onSecure).off("error", onError).off("end", onGone).off("close", onGone);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.on("error", () => {}).destroy();
      raw.destroy();
      reject(error);
    };
    const onSecure = (): void => {
      settle();
      socket.once("close", () => raw.destroy());
      resolve(socket);
    };
    const refused = (reason: string, cause?: Error): TransportError =>
      new TransportError("ERR_TRANSPORT_TLS_REFUSED", { host: "client", port: 0, reason }, { cause });
    const onAbort = (): void => fail(signal.reason);
    const onError = (error: Error & { readonly code?: string }): void => fail(refused(error.code ?? "unknown", error));
    const onGone = (): void => fail(refused("CLOSED"));
    signal.addEventListener("abort", onAbort, { once: true });
    // A socket that may stay half open tells the end of what its client sends, and never closes by itself.
    raw.on("end", onGone).on("close", onGone);
    socket.on("secure", onSecure).on("error", onError).on("end", onGone).on("close", onGone);
  });
}
