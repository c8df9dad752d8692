/**
 * What two enclaves agree on when each proves to the other what it is: over one TLS 1.3 connection, in four messages.
 *
 *   initiator → responder   nonce I, 32 bytes
 *   responder → initiator   nonce R, 32 bytes ‖ document: nonce I, the TLS key, digest of "responder"
 *   initiator → responder   document: nonce R, digest of "initiator"
 *   responder → initiator   nothing, or the code of its refusal
 *
 *   message   u16 length, big-endian ‖ bytes
 *   digest    SHA-384 of "cloister/peer/v1", the role, the TLS key, the exporter
 *   exporter  48 bytes, label "EXPORTER-cloister-peer", context nonce I ‖ nonce R
 *
 * The initiator shows who it is to nobody but an enclave that its own policy allows. The role in the digest keeps a document from
 * being sent back to its maker, the exporter from being passed on.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { utf8 } from "../bytes.ts";
import { SessionError } from "../errors/session.ts";
import { type ReadExactlyOptions, readExactly } from "./read-exactly.ts";
import { transcriptDigest } from "./transcript.ts";

export const PEER_PURPOSE = "peer";
export const PEER_EXPORTER_LABEL = "EXPORTER-cloister-peer";
export const PEER_NONCE_BYTES = 32;
export const MESSAGE_MAX = 0xffff;

export type PeerRole = "initiator" | "responder";

export interface PeerTranscript {
  /** Whose document it is. */
  readonly role: PeerRole;
  /** SubjectPublicKeyInfo of the responder's TLS key, DER. */
  readonly spki: Uint8Array;
  readonly exporter: Uint8Array;
}

export function peerDigest({ role, spki, exporter }: PeerTranscript): Promise<Uint8Array> {
  return transcriptDigest("cloister/peer/v1", [utf8(role), spki, exporter]);
}

/** @throws {RangeError} more than 65 535 bytes */
export function writeMessage(socket: Duplex, bytes: Uint8Array): void {
  if (bytes.length > MESSAGE_MAX) throw new RangeError(`a message has at most ${MESSAGE_MAX} bytes`);
  const message = new Uint8Array(2 + bytes.length);
  new DataView(message.buffer).setUint16(0, bytes.length);
  message.set(bytes, 2);
  socket.write(message);
}

/** @throws {SessionError} `ERR_SESSION_MALFORMED` beyond `maxBytes` */
export async function readMessage(
  socket: Duplex,
  { maxBytes, ...options }: ReadExactlyOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  const head = await readExactly(socket, 2, options);
  const length = new DataView(head.buffer).getUint16(0);
  if (length > maxBytes) throw new SessionError("ERR_SESSION_MALFORMED", { rule: `at most ${maxBytes} bytes` });
  return readExactly(socket, length, options);
}

/** Ends this direction and waits until the peer has gone, for a reset would overtake what was written last. */
export function endAndWait(socket: Duplex, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted || socket.destroyed) return done();
    signal.addEventListener("abort", done, { once: true });
    socket.once("close", done).once("end", done);
    socket.resume().end();
  });
}
