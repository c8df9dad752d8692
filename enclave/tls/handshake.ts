/**
 * The server's side of a TLS 1.3 handshake over any `Duplex`, under a deadline and a bound on how many are under way.
 *
 * No session is resumed: the context keeps no sessions, so each connection is a full handshake, with forward secrecy of its
 * own and the server's key in it. A document would be needed for a resumed one all the same (`docs/attested-tls.md`).
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";
import { SessionError } from "../../shared/errors/session.ts";
import { TransportError } from "../../shared/errors/transport.ts";

export interface HandshakeLimits {
  /** From the connection to the end of the handshake, in milliseconds. Default 10 000. */
  readonly handshakeTimeoutMs?: number;
  /** Handshakes under way at once; further connections are closed. Default 128. */
  readonly handshakesMax?: number;
}

export interface Handshakes {
  /** @throws {TransportError | SessionError} both sockets are destroyed then */
  accept(socket: Duplex, terms: HandshakeTerms): Promise<TLSSocket>;
}

export interface HandshakeTerms {
  readonly secureContext: SecureContext;
  /** Default `http/1.1`. */
  readonly protocol?: string;
}

export function createHandshakes({ handshakeTimeoutMs = 10_000, handshakesMax = 128 }: HandshakeLimits): Handshakes {
  for (const [name, value] of Object.entries({ handshakeTimeoutMs, handshakesMax })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`limits.${name} is 1 or more, not ${value}`);
  }
  let underWay = 0;
  return {
    async accept(socket, terms) {
      if (underWay >= handshakesMax) {
        socket.destroy();
        throw new SessionError("ERR_SESSION_HANDSHAKE_LIMIT", { limit: handshakesMax });
      }
      underWay++;
      try {
        return await handshake(socket, terms, handshakeTimeoutMs);
      } finally {
        underWay--;
      }
    },
  };
}

function handshake(raw: Duplex, terms: HandshakeTerms, timeoutMs: number): Promise<TLSSocket> {
  const { secureContext, protocol = "http/1.1" } = terms;
  return new Promise((resolve, reject) => {
    const socket = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: [protocol] });
    const settle = (): void => {
      clearTimeout(timer);
      socket.off("secure", onSecure).off("error", onError).off("close", onClose);
    };
    const fail = (error: Error): void => {
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
    const onError = (error: Error & { readonly code?: string }): void => fail(refused(error.code ?? "unknown", error));
    const onClose = (): void => fail(refused("CLOSED"));
    const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: "the client's handshake", timeoutMs });
    const timer = setTimeout(() => fail(late), timeoutMs);
    raw.on("error", () => {});
    socket.on("secure", onSecure).on("error", onError).on("close", onClose);
  });
}
