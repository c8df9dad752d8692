/**
 * Sessions between two enclaves, each of which has proved to the other what it is.
 *
 * TLS 1.3 with a key of the responder's own, then a document from each side, bound to this very connection
 * (`shared/session/peer.ts`). What comes out is the TLS socket, with nothing of the protocol left in it, and the peer's
 * verified attestation. Certificates count for nothing.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import type { VerifiedAttestation } from "../../shared/attestation/index.ts";
import { readPolicy } from "../../shared/attestation/policy.ts";
import { TransportError } from "../../shared/errors/transport.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import type { EnclavePolicy } from "../../shared/session/bound-document.ts";
import { createDocumentRate, type DocumentLimits } from "../tls/document-rate.ts";
import { createHandshakes, type HandshakeLimits, serverContext } from "../tls/handshake.ts";
import { createTlsIdentity } from "../tls/identity.ts";
import { PEER_ADDRESS, PeerEnd } from "./peer-end.ts";

export interface PeerSessionsOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** What a peer must be, whichever side called. For a fleet of one image: `sameImagePolicy`. */
  readonly policy: EnclavePolicy;
  /** The moment to judge at. */
  readonly now: () => Date;
  /** A clock in milliseconds that never goes back. Default `performance.now()`. */
  readonly monotonicMs?: () => number;
  /** Until both sides have agreed, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  readonly limits?: HandshakeLimits & { readonly documents?: DocumentLimits };
}

export interface PeerSession {
  /** Paused: it is read by iteration, `pipe`, or after `resume()`. */
  readonly socket: TLSSocket;
  /** What the other enclave proved to be. */
  readonly attestation: VerifiedAttestation;
}

/** Both calls own the raw socket from then on, and destroy it when they reject. */
export interface PeerSessions {
  /**
   * Over a connection that this side opened, through the parent for instance.
   *
   * @throws {AttestationError | SessionError | TransportError} the peer is refused, or refused this enclave
   *   (`ERR_SESSION_PEER_REFUSED`)
   */
  connect(raw: Duplex): Promise<PeerSession>;
  /** Over a connection that came in. */
  accept(raw: Duplex): Promise<PeerSession>;
}

/**
 * @throws {ConfigError} the policy is incomplete
 *
 * @example
 * ```ts
 * const policy = await sameImagePolicy({ nsm, roots: platform.attestationRoots, now });
 * const peers = await createPeerSessions({ nsm, policy, now });
 * const { socket } = await peers.connect(await env.connect("leader.internal", 9000));
 * ```
 */
export async function createPeerSessions(options: PeerSessionsOptions): Promise<PeerSessions> {
  const { nsm, now, monotonicMs = () => performance.now(), timeoutMs = 10_000, limits = {} } = options;
  readPolicy({ ...options.policy, nonce: "unchecked", userData: "unchecked", publicKey: "unchecked" });
  const policy = structuredClone(options.policy);
  const identity = await createTlsIdentity(now());
  const { spki } = identity;
  const secureContext = serverContext(identity, identity.certificatePem);
  const rate = createDocumentRate(limits.documents ?? {}, monotonicMs);
  const handshakes = createHandshakes({ ...limits, handshakeTimeoutMs: timeoutMs });
  const ends = new PeerEnd(nsm, { policy, now });

  return {
    connect: (raw) =>
      underDeadline(raw, timeoutMs, async (signal) => {
        const socket = await secureClient(raw, signal);
        return { socket, attestation: await ends.initiate(socket, signal) };
      }),
    accept: (raw) =>
      underDeadline(raw, timeoutMs, async (signal) => {
        const socket = await handshakes.accept(raw, { secureContext });
        socket.on("error", () => {});
        rate.take(socket);
        return { socket, attestation: await ends.respond(socket, { spki, signal }) };
      }),
  };
}

async function underDeadline<T>(raw: Duplex, timeoutMs: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const attempt = new AbortController();
  const timer = setTimeout(
    () => attempt.abort(new TransportError("ERR_TRANSPORT_TIMEOUT", { address: PEER_ADDRESS, timeoutMs })),
    timeoutMs,
  );
  raw.on("error", () => {});
  try {
    return await run(attempt.signal);
  } catch (error) {
    raw.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function secureClient(raw: Duplex, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // The peer's document decides, not its certificate.
    const socket = tlsConnect({ socket: raw, minVersion: "TLSv1.3", rejectUnauthorized: false });
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      socket.off("close", onClose).off("secureConnect", onSecure);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    let cause: (Error & { readonly code?: string }) | undefined;
    const onAbort = (): void => fail(signal.reason);
    const onClose = (): void => {
      const reason = cause?.code ?? "CLOSED";
      fail(new TransportError("ERR_TRANSPORT_TLS_REFUSED", { host: PEER_ADDRESS, port: 0, reason }, { cause }));
    };
    const onSecure = (): void => {
      settle();
      socket.once("close", () => raw.destroy());
      resolve(socket);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error) => (cause = error));
    socket.on("close", onClose).on("secureConnect", onSecure);
  });
}
