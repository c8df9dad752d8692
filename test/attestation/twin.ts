/**
 * ECDSA signatures come in pairs: where (r, s) verifies, (r, n - s) does.
 *
 * @module
 */
import { concat, fromHex, toHex } from "../../shared/bytes.ts";
import { readCertificate } from "../../shared/der/certificate.ts";
import { bits, ECDSA_SHA384, sequence, signatureValue } from "./der-writer.ts";

/** Order of the P-384 group, and the prime of its field (SP 800-186). */
export const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;
export const P = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn;

/** A number of the field or the group as 48 bytes. */
export const bytesOf = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(96, "0"));

/** r ‖ s → r ‖ n - s. */
export function twinOf(signature: Uint8Array): Uint8Array {
  return concat(signature.subarray(0, 48), bytesOf(N - BigInt(`0x${toHex(signature.subarray(48))}`)));
}

/** The same certificate with the signature's twin. */
export function twinCertificate(der: Uint8Array): Uint8Array {
  const { tbs, signature } = readCertificate(der);
  return sequence(tbs, ECDSA_SHA384, bits(signatureValue(twinOf(signature))));
}
