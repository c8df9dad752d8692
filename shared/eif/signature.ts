/**
 * Reads, checks and writes the signature section: who says that this PCR0 is theirs.
 *
 *   CBOR [ { "signing_certificate": PEM, "signature": COSE_Sign1 } ]          exactly one
 *   COSE_Sign1 [ h'a1013822', {}, payload, r ‖ s ]
 *   payload CBOR { "register_index": 0, "register_value": PCR0 }
 *
 * AWS's tools write each of these byte strings as a CBOR array of small integers, and QEMU reads nothing else, so it is
 * the only form here. The signature covers PCR0 and nothing more: neither section boundaries nor metadata. ES384 on P-384 only: AWS's
 * tools also take P-256 and P-521, which are read for PCR8 and not checked.
 *
 * Source: aws-nitro-enclaves-image-format 0.8.1, `PcrSignature` and `PcrInfo` in `src/defs/mod.rs`, `src/utils/cbor.rs`,
 * `src/utils/eif_signer.rs`; RFC 9052 §4.4.
 *
 * @module
 */
import { concat, equalBytes } from "../bytes.ts";
import { type Cbor, decodeCbor } from "../cbor/decode.ts";
import { type CborValue, encodeCbor } from "../cbor/encode.ts";
import { importVerifyKey, isSigned, type VerifyKey } from "../cose/es384.ts";
import { PROTECTED_ES384, readSign1, SIGNATURE_BYTES } from "../cose/sign1.ts";
import { DerReader, TAG, unsignedInteger } from "../der/reader.ts";
import { isAttestationError } from "../errors/attestation.ts";
import { EifError } from "../errors/eif.ts";
import { isEncodingError } from "../errors/encoding.ts";
import type { SigningCertificate } from "./certificate.ts";
import { EIF_SIGNATURE_MAX } from "./layout.ts";

/** One entry of the section, taken apart; nothing is checked yet. */
export interface SignatureEntry {
  readonly certificatePem: Uint8Array;
  readonly message: Uint8Array;
}

/** What was signed, and the signature. */
export interface SignedPcr0 {
  readonly pcr0: Uint8Array;
  /** r ‖ s, 96 bytes. */
  readonly signature: Uint8Array;
  /** COSE's Sig_structure: what the signature is over. */
  readonly signed: Uint8Array;
}

const PCR_BYTES = 48;

function malformed(path: string, rule: string, cause?: unknown): EifError {
  return new EifError("ERR_EIF_SIGNATURE", { path, rule }, { cause });
}

/** @throws {EifError} `ERR_EIF_SIGNATURE` not that shape, none or several entries */
export function readSignatureSection(bytes: Uint8Array): SignatureEntry {
  if (bytes.length > EIF_SIGNATURE_MAX) throw malformed("section", `at most ${EIF_SIGNATURE_MAX} bytes`);
  const list = decode("section", bytes, 3);
  if (!Array.isArray(list)) throw malformed("section", "is an array");
  if (list.length !== 1) throw malformed("section", `has exactly one entry, not ${list.length}`);
  const entry = fields("[0]", list[0], ["signing_certificate", "signature"]);
  return {
    certificatePem: octets("[0].signing_certificate", entry.get("signing_certificate")),
    message: octets("[0].signature", entry.get("signature")),
  };
}

/** @throws {EifError} `ERR_EIF_SIGNATURE` not ES384, or over anything but a PCR0 */
export function readSignedPcr0(message: Uint8Array): SignedPcr0 {
  const { payload, signature, signed } = readMessage(message);
  const path = "[0].signature.payload";
  const info = fields(path, decode(path, payload, 2), ["register_index", "register_value"]);
  if (info.get("register_index") !== 0) throw malformed(`${path}.register_index`, "is 0");
  const pcr0 = octets(`${path}.register_value`, info.get("register_value"));
  if (pcr0.length !== PCR_BYTES) throw malformed(`${path}.register_value`, `has ${PCR_BYTES} bytes`);
  return { pcr0, signature, signed };
}

function readMessage(message: Uint8Array): ReturnType<typeof readSign1> {
  try {
    return readSign1(message);
  } catch (cause) {
    if (!isAttestationError(cause)) throw cause;
    throw malformed("[0].signature", cause.message, cause);
  }
}

function decode(path: string, bytes: Uint8Array, maxDepth: number): Cbor {
  try {
    return decodeCbor(bytes, { maxDepth, indefinite: false });
  } catch (cause) {
    if (!isEncodingError(cause)) throw cause;
    throw malformed(path, cause.message, cause);
  }
}

function fields(path: string, value: Cbor | undefined, names: readonly string[]): Map<string | number, Cbor> {
  if (value instanceof Map && value.size === names.length && names.every((name) => value.has(name))) return value;
  throw malformed(path, `is a map of ${names.join(" and ")}`);
}

function octets(path: string, value: Cbor | undefined): Uint8Array {
  const isOctet = (item: Cbor): item is number => typeof item === "number" && item >= 0 && item <= 255;
  if (Array.isArray(value) && value.every(isOctet)) return Uint8Array.from(value);
  throw malformed(path, "is an array of octets");
}

/** Whether the certificate's key signed this, and this is the image's PCR0. */
export async function isSignedBy(
  { pcr0, signature, signed }: SignedPcr0,
  { certificate, expected }: { readonly certificate: SigningCertificate; readonly expected: Uint8Array },
): Promise<boolean> {
  if (certificate.curve !== "P-384" || !equalBytes(pcr0, expected)) return false;
  const key = await importPoint(certificate.point);
  return key !== undefined && (await isSigned(key, signature, signed));
}

/** A point that is not on the curve is nobody's key; WebCrypto says so with a `DataError`. */
async function importPoint(point: Uint8Array): Promise<VerifyKey | undefined> {
  try {
    return await importVerifyKey(point);
  } catch (error) {
    if (error instanceof Error && error.name === "DataError") return undefined;
    throw error;
  }
}

/** The bytes to sign, so that the key can be elsewhere: ECDSA with SHA-384, of these bytes or of their digest. */
export function toBeSigned(pcr0: Uint8Array): Uint8Array {
  return encodeCbor(["Signature1", PROTECTED_ES384, new Uint8Array(0), payloadOf(pcr0)]);
}

function payloadOf(pcr0: Uint8Array): Uint8Array {
  if (pcr0.length !== PCR_BYTES) throw new RangeError(`a PCR has ${PCR_BYTES} bytes, not ${pcr0.length}`);
  return encodeCbor(
    new Map<string, CborValue>([
      ["register_index", 0],
      ["register_value", [...pcr0]],
    ]),
  );
}

/** The section's content, as AWS's tools write it. */
export function writeSignatureSection({
  certificatePem,
  pcr0,
  signature,
}: {
  readonly certificatePem: Uint8Array;
  readonly pcr0: Uint8Array;
  /** r ‖ s, 96 bytes. */
  readonly signature: Uint8Array;
}): Uint8Array {
  if (signature.length !== SIGNATURE_BYTES) throw new RangeError(`a signature has ${SIGNATURE_BYTES} bytes`);
  const message = encodeCbor([PROTECTED_ES384, new Map<string, CborValue>(), payloadOf(pcr0), signature]);
  return encodeCbor([
    new Map<string, CborValue>([
      ["signing_certificate", [...certificatePem]],
      ["signature", [...message]],
    ]),
  ]);
}

/**
 * A signature made elsewhere, as r ‖ s: 96 bytes are taken as they are, all else is ECDSA-Sig-Value in DER, as KMS gives it.
 *
 * @throws {EifError} `ERR_EIF_SIGNATURE`
 */
export function readDetachedSignature(bytes: Uint8Array): Uint8Array {
  if (bytes.length === SIGNATURE_BYTES) return bytes;
  try {
    const input = new DerReader(bytes);
    const sequence = input.enter(TAG.sequence);
    input.end();
    const [r, s] = [unsignedInteger(sequence), unsignedInteger(sequence)];
    sequence.end();
    if (r.length > 48 || s.length > 48) throw sequence.malformed("r and s have at most 48 octets");
    return concat(new Uint8Array(48 - r.length), r, new Uint8Array(48 - s.length), s);
  } catch (cause) {
    if (!isEncodingError(cause)) throw cause;
    throw malformed("detached", cause.message, cause);
  }
}
