/**
 * What an enclave's TLS server and its clients agree on: how a document is bound to one TLS 1.3 connection.
 *
 *   GET /.well-known/attestation?nonce=<base64url, 16 to 64 bytes>
 *
 *   nonce        the client's
 *   public_key   the SubjectPublicKeyInfo of the server's TLS key
 *   user_data    {"v":1,"purpose":"tls","digest": SHA-384 of "cloister/tls/v1", that key, the exporter}
 *   exporter     48 bytes, label "EXPORTER-cloister-attestation", context the nonce
 *
 * The exporter follows from the handshake's secrets, which only the two ends of *this* connection have: a document that
 * was made for another connection, an earlier one of the same client too, names another value.
 *
 * Source: RFC 8446 §7.5; RFC 9266 §2 (why an exporter binds a channel); RFC 8615.
 *
 * @module
 */
import { toBase64Url } from "./nonce.ts";
import { transcriptDigest } from "./transcript.ts";

export const ATTESTATION_PATH = "/.well-known/attestation";
/** Of the answer's body: the document's bytes, as NSM gave them. */
export const DOCUMENT_TYPE = "application/cose";
export const TLS_PURPOSE = "tls";
export const EXPORTER_LABEL = "EXPORTER-cloister-attestation";
export const EXPORTER_BYTES = 48;

/** What a document must vouch for. */
export interface TlsBinding {
  /** SubjectPublicKeyInfo of the key in the server's certificate, DER. */
  readonly spki: Uint8Array;
  readonly exporter: Uint8Array;
}

export function tlsDigest({ spki, exporter }: TlsBinding): Promise<Uint8Array> {
  return transcriptDigest("cloister/tls/v1", [spki, exporter]);
}

/** Path and query of the request for a document. */
export function attestationTarget(nonce: Uint8Array): string {
  return `${ATTESTATION_PATH}?nonce=${toBase64Url(nonce)}`;
}
