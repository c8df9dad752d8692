/**
 * Decides whether a TLS client asks for the server that the connection was opened for, before a byte of it goes there.
 *
 * Without this an allowed host that serves many names (a CDN, a shared load balancer) can be asked for any of them.
 * The first bytes are read, 16 KiB and 5 seconds at most, compared, and put back: they are forwarded as they came.
 *
 *   the name is the target's             forwarded
 *   another, none, an IP address         refused
 *   an encrypted hello (ECH, or GREASE)  refused: the name that counts can not be seen
 *   no TLS, or malformed                 refused
 *
 * The name is a claim of the client, and the server's business afterwards: this confines a client that is TLS's own,
 * not two ends that agree to deceive.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../../shared/errors/index.ts";
import { canonicalHost, isIpv4Literal } from "../../shared/transport/target.ts";
import { type ClientHello, readClientHello } from "./client-hello.ts";

export type SniPolicy = "off" | "enforce";

/** The most that is read of a connection before it is decided. */
const HELLO_BYTES_MAX = 16_384;

export interface SniOptions {
  /** The target's host, in canonical spelling. */
  readonly host: string;
  /** Who is read, for the error. */
  readonly address: string;
  readonly timeoutMs: number;
}

/**
 * Waits for the ClientHello; the socket is paused with all its bytes unread when this returns.
 *
 * @throws {TransportError} `ERR_TRANSPORT_SNI_REFUSED`, `ERR_TRANSPORT_CLOSED`, `ERR_TRANSPORT_TIMEOUT`
 */
export function enforceServerName(socket: Duplex, { host, address, timeoutMs }: SniOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const seen = Buffer.alloc(HELLO_BYTES_MAX);
    let length = 0;
    let need = 1;
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onClosed).off("close", onClosed);
      socket.pause();
      outcome();
    };
    const fail = (error: TransportError): void => settle(() => reject(error));
    const onClosed = (): void => fail(new TransportError("ERR_TRANSPORT_CLOSED", { address }));
    const onData = (chunk: Uint8Array): void => {
      const room = HELLO_BYTES_MAX - length;
      seen.set(chunk.subarray(0, room), length);
      length += Math.min(chunk.length, room);
      if (length < need) return;
      const hello = readClientHello(seen.subarray(0, length));
      if (hello.kind === "partial") {
        need = hello.need;
        if (need > HELLO_BYTES_MAX) fail(refusal(host, `a ClientHello has at most ${HELLO_BYTES_MAX} bytes`));
        return;
      }
      const rule = faultOf(hello, host);
      if (rule !== undefined) {
        fail(refusal(host, rule));
        return;
      }
      const all = [Buffer.from(seen.subarray(0, length)), chunk.subarray(room)];
      settle(() => {
        socket.unshift(chunk.length > room ? Buffer.concat(all) : all[0]);
        resolve();
      });
    };
    const timer = setTimeout(
      () => fail(new TransportError("ERR_TRANSPORT_TIMEOUT", { address, timeoutMs })),
      timeoutMs,
    );
    if (socket.destroyed || socket.readableEnded) return onClosed();
    socket.on("end", onClosed).on("close", onClosed).on("data", onData);
    socket.resume();
  });
}

function refusal(host: string, rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_SNI_REFUSED", { host, rule });
}

/** What is wrong with a hello for this host, without quoting it. */
function faultOf(hello: Exclude<ClientHello, { readonly kind: "partial" }>, host: string): string | undefined {
  if (hello.kind === "invalid") return hello.rule;
  if (hello.isEncrypted) return "the ClientHello is encrypted (ECH)";
  if (hello.serverName === undefined) return "the ClientHello names no server";
  return isSameHost(hello.serverName, host) ? undefined : "the ClientHello names another server";
}

/** RFC 6066 §3: no trailing dot, no address. */
function isSameHost(name: string, host: string): boolean {
  if (name.endsWith(".") || isIpv4Literal(name)) return false;
  try {
    return canonicalHost(name) === host;
  } catch (error) {
    if (error instanceof TransportError) return false;
    throw error;
  }
}
