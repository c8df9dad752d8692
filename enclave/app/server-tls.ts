/**
 * What TLS inside an enclave gives to the server of its app: a handshake for each connection, and the answer to one path.
 *
 * The server knows nothing of keys, certificates or documents; it hands over raw sockets and gets TLS ones. Nothing of a
 * request is read before `accept` resolves.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

export interface ServerTls extends AsyncDisposable {
  /**
   * Does the handshake, under a deadline of its own. When it rejects, both sockets are destroyed already; the reason is told to
   * nobody outside.
   */
  accept(socket: Duplex): Promise<TLSSocket>;
  /**
   * Answers what belongs to TLS itself, `GET /.well-known/attestation?nonce=`, for the connection that the request came by;
   * `undefined` for any other request, which is the app's.
   */
  handle(request: Request, socket: TLSSocket): Promise<Response | undefined>;
  /** Ends what renewals or timers run behind it; connections are the server's to end. */
  close(): Promise<void>;
}
