/**
 * Grafts a forged document onto the genuine root: the root's bytes are pinned, but did it sign what follows?
 *
 * @module
 */
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";

/** `forged` with its first certificate replaced by that of `genuine`, the lengths around it kept right. */
export async function underGenuineRoot(forged: Uint8Array, genuine: Uint8Array): Promise<Uint8Array> {
  const [ours, theirs] = [decodeAttestationUnverified(forged).chain[0], decodeAttestationUnverified(genuine).chain[0]];
  if (!ours || !theirs) throw new TypeError("a document has a chain");
  const document = Buffer.from(forged);
  const at = document.indexOf(ours);
  const grafted = Buffer.concat([document.subarray(0, at), theirs, document.subarray(at + ours.length)]);
  // The byte string around the certificate: 59 and two bytes of length. COSE payload: 59 at offset 7, likewise.
  grafted.writeUInt16BE(theirs.length, at - 2);
  grafted.writeUInt16BE(grafted.readUInt16BE(8) + theirs.length - ours.length, 8);
  return new Uint8Array(grafted);
}
