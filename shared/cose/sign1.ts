/**
 * Opens a COSE_Sign1 message of the only profile that NSM emits, and gives the bytes that its signature covers.
 *
 *   [ protected = h'a1013822' {1: -35}, unprotected = {}, payload: bstr, signature: bstr of 96 bytes ]
 *
 * Bare, or under tag 18 in its shortest form. Nothing is re-encoded: protected header and payload stay as received.
 *
 * Source: RFC 9052 §4.2, §4.4; RFC 9053 §2.1; AWS attestation_process.md §3.1.
 *
 * @module
 */
import { concat, equalBytes, fromHex } from "../bytes.ts";
import { type Cbor, decodeCbor } from "../cbor/decode.ts";
import { encodeCbor } from "../cbor/encode.ts";
import { AttestationError } from "../errors/attestation.ts";
import { EncodingError } from "../errors/encoding.ts";

export interface Sign1 {
  readonly payload: Uint8Array;
  /** r ‖ s, 96 bytes. */
  readonly signature: Uint8Array;
  /** Sig_structure: what the signature is over. */
  readonly signed: Uint8Array;
}

/** `{1: -35}`: ES384, RFC 9053 §2.1. */
export const PROTECTED_ES384: Uint8Array = fromHex("a1013822");
/** r ‖ s on P-384. */
export const SIGNATURE_BYTES = 96;
const TAG_18 = 0xd2;
/** AWS attestation_process.md §3.1. */
const PAYLOAD_MAX = 16_384;

function malformed(path: string, expected: string, cause?: unknown): AttestationError {
  return new AttestationError("ERR_ATTESTATION_MALFORMED", { path, expected }, { cause });
}

/** Runs a strict parser and turns its refusal into the document's; a mistake in the parser stays what it is. */
export function refusing<Result>(read: () => Result, refusal: (error: EncodingError) => Error): Result {
  try {
    return read();
  } catch (error) {
    throw error instanceof EncodingError ? refusal(error) : error;
  }
}

/** Runs a strict parser and says where in the document it refused. */
export function at<Result>(path: string, read: () => Result): Result {
  return refusing(read, (error) => malformed(path, error.message, error));
}

/** @throws {AttestationError} `ERR_ATTESTATION_MALFORMED`, `ERR_ATTESTATION_ALGORITHM` */
export function readSign1(bytes: Uint8Array): Sign1 {
  const body = bytes[0] === TAG_18 ? bytes.subarray(1) : bytes;
  const message = at("document", () => decodeCbor(body, { maxDepth: 2, indefinite: false }));
  if (!Array.isArray(message) || message.length !== 4) throw malformed("document", "an array of four (COSE_Sign1)");
  const [header, unprotected, payload, signature] = message;
  if (!(header instanceof Uint8Array)) throw malformed("protected", "a byte string");
  if (!equalBytes(header, PROTECTED_ES384)) throw wrongHeader(header);
  // Unsigned and chosen by whoever forwards the document; NSM writes nothing here (attestation_process.md §3.1).
  if (!(unprotected instanceof Map) || unprotected.size !== 0) throw malformed("unprotected", "an empty map");
  if (!(payload instanceof Uint8Array) || payload.length === 0 || payload.length > PAYLOAD_MAX) {
    throw malformed("payload", `a byte string of 1 to ${PAYLOAD_MAX} bytes`);
  }
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_BYTES) {
    throw malformed("signature", `a byte string of ${SIGNATURE_BYTES} bytes`);
  }
  return { payload, signature, signed: sigStructure(header, payload) };
}

/** RFC 9052 §4.4, with an empty external_aad. */
function sigStructure(header: Uint8Array, payload: Uint8Array): Uint8Array {
  const start = Uint8Array.of(0x84);
  return concat(start, ...["Signature1", header, new Uint8Array(0), payload].map((part) => encodeCbor(part)));
}

function wrongHeader(header: Uint8Array): AttestationError {
  if (header.length === 0) return new AttestationError("ERR_ATTESTATION_ALGORITHM", { algorithm: "nothing" });
  const map = at("protected", () => decodeCbor(header, { maxDepth: 2, indefinite: false }));
  if (!(map instanceof Map)) return malformed("protected", "a map");
  const algorithm = map.get(1);
  if (algorithm === -35) return malformed("protected", "{1: -35} and nothing else");
  return new AttestationError("ERR_ATTESTATION_ALGORITHM", { algorithm: describe(algorithm) });
}

function describe(algorithm: Cbor | undefined): string {
  if (typeof algorithm === "number" || typeof algorithm === "bigint") return String(algorithm);
  return algorithm === undefined ? "nothing" : `a ${algorithm === null ? "null" : typeof algorithm}`;
}
