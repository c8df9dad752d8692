/**
 * Tells an authority's challenge from other connections, by the protocol that its ClientHello offers.
 *
 * Looks for the name's bytes and reads no further into the message: TLS itself answers whoever offers it, with a
 * certificate that is of use for nothing else. Nothing is consumed.
 *
 * Source: RFC 8737 §3; RFC 8446 §4.1.2, §5.1.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { concat } from "../../shared/bytes.ts";
import { readExactly } from "../../shared/session/read-exactly.ts";

export const ACME_PROTOCOL = "acme-tls/1";

const RECORD_HEAD = 5;
const RECORD_MAX = 16_384;
const OFFER = Buffer.from(`${String.fromCharCode(ACME_PROTOCOL.length)}${ACME_PROTOCOL}`, "latin1");

/** @throws {TransportError} the client goes away first; or the signal's reason */
export async function offersChallenge(socket: Duplex, signal: AbortSignal): Promise<boolean> {
  const reading = { address: "the client's handshake", signal };
  const head = await readExactly(socket, RECORD_HEAD, reading);
  const length = Math.min(RECORD_MAX, new DataView(head.buffer).getUint16(3));
  const record = concat(head, await readExactly(socket, length, reading));
  socket.unshift(record);
  return Buffer.from(record).includes(OFFER);
}
