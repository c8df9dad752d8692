/**
 * A TLS 1.3 handshake with whoever answers, whose certificate is believed in nothing: what it is, its document must say.
 *
 * @module
 */
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { TransportError } from "../shared/errors/index.ts";

/** A connection that is wanted, until `signal` says that it is not. */
export interface Opening {
  readonly host: string;
  readonly port: number;
  readonly signal: AbortSignal;
}

/** @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`, `ERR_TRANSPORT_TLS_REFUSED` */
export async function secureConnect(
  opening: Opening,
  connect?: (target: Opening) => Promise<Duplex>,
): Promise<TLSSocket> {
  const { host, port } = opening;
  const tunnel = await connect?.(opening);
  const socket = tlsConnect({
    ...(tunnel ? { socket: tunnel } : { host, port }),
    ...(isIP(host) === 0 && { servername: host }),
    minVersion: "TLSv1.3",
    ALPNProtocols: ["http/1.1"],
    // Neither trusted nor distrusted: the document decides, and whom the host trusts plays no part.
    rejectUnauthorized: false,
  });
  socket.allowHalfOpen = false;
  socket.once("close", () => tunnel?.destroy());
  return secured(socket, opening);
}

function secured(socket: TLSSocket, { host, port, signal }: Opening): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose).off("secureConnect", onSecure);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.on("error", () => {}).destroy();
      reject(error);
    };
    const refused = (reason: string, cause?: Error): TransportError =>
      new TransportError("ERR_TRANSPORT_TLS_REFUSED", { host, port, reason }, { cause });
    const onAbort = (): void => fail(signal.reason);
    const onError = (error: NodeJS.ErrnoException): void => {
      const reason = error.code ?? "unknown";
      const unreachable = error.syscall === "connect" || error.syscall === "getaddrinfo";
      const address = `${host}:${port}`;
      if (unreachable) fail(new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason }, { cause: error }));
      else fail(refused(reason, error));
    };
    const onClose = (): void => fail(refused("CLOSED"));
    const onSecure = (): void => {
      settle();
      // Whoever has the connection sees `close`.
      socket.on("error", () => {});
      resolve(socket);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError).on("close", onClose).on("secureConnect", onSecure);
  });
}
