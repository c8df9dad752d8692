/**
 * Reads the certificates of the AWS Nitro Attestation PKI: X.509 v3, P-384, ecdsa-with-SHA384, and no other profile.
 *
 * Strict DER throughout; each value is consumed to its end. It hands out the few fields that path validation uses and
 * decides nothing about trust: names, times, roles and signatures are checked by the caller.
 *
 * Source: RFC 5280 §4.1, §4.2; RFC 5480 §2; RFC 5758 §3.2.
 *
 * @module
 */
import { concat, equalBytes, fromHex, toHex } from "../bytes.ts";
import { readName } from "./name.ts";
import { boolean, DerReader, objectIdentifier, octetAlignedBits, TAG, unsignedInteger } from "./reader.ts";
import { readValidity } from "./time.ts";

export interface Certificate {
  /** The whole certificate, as received. */
  readonly raw: Uint8Array;
  /** What the issuer signed. */
  readonly tbs: Uint8Array;
  /** The issuer's signature as r ‖ s, 96 bytes. */
  readonly signature: Uint8Array;
  /** Names as received, compared byte for byte. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** An uncompressed point of P-384, 97 bytes; whether it lies on the curve is for whoever imports it. */
  readonly publicKey: Uint8Array;
  readonly extensions: CertificateExtensions;
}

export interface CertificateExtensions {
  readonly basicConstraints?: { readonly critical: boolean; readonly isCa: boolean; readonly pathLength?: number };
  readonly keyUsage?: { readonly digitalSignature: boolean; readonly keyCertSign: boolean };
  readonly subjectKeyIdentifier?: Uint8Array;
  readonly authorityKeyIdentifier?: Uint8Array;
  /** Object identifiers, as hex, of critical extensions that this reader does not know. */
  readonly unknownCritical: readonly string[];
}

/** AlgorithmIdentifier { ecdsa-with-SHA384 }, parameters absent (RFC 5758 §3.2). */
const ECDSA_SHA384 = fromHex("300a06082a8648ce3d040303");
/** SubjectPublicKeyInfo up to the point: id-ecPublicKey, secp384r1, uncompressed (RFC 5480 §2). */
const P384_PREFIX = fromHex("3076301006072a8648ce3d020106052b8104002203620004");
const P384_SPKI_BYTES = 120;

const OID_BASIC_CONSTRAINTS = "551d13";
const OID_KEY_USAGE = "551d0f";
const OID_SUBJECT_KEY_IDENTIFIER = "551d0e";
const OID_AUTHORITY_KEY_IDENTIFIER = "551d23";

/** @throws {EncodingError} `ERR_ASN1_MALFORMED` */
export function readCertificate(bytes: Uint8Array): Certificate {
  const input = new DerReader(bytes);
  const outer = input.enter(TAG.sequence);
  input.end();
  const tbs = outer.read(TAG.sequence);
  algorithm(outer);
  const signature = ecdsaSignature(octetAlignedBits(outer), outer);
  outer.end();
  return { raw: bytes, tbs: tbs.raw, signature, ...readTbs(new DerReader(tbs.content)) };
}

function readTbs(tbs: DerReader): Omit<Certificate, "raw" | "tbs" | "signature"> {
  const version = tbs.enter(0xa0);
  if (!equalBytes(unsignedInteger(version), Uint8Array.of(2))) throw version.malformed("the version must be 3");
  version.end();
  serialNumber(tbs);
  algorithm(tbs);
  const issuer = readName(tbs);
  const { notBefore, notAfter } = readValidity(tbs.enter(TAG.sequence));
  const subject = readName(tbs);
  const spki = tbs.read(TAG.sequence).raw;
  if (spki.length !== P384_SPKI_BYTES || !equalBytes(spki.subarray(0, P384_PREFIX.length), P384_PREFIX)) {
    throw tbs.malformed("the public key must be an uncompressed P-384 point");
  }
  const explicit = tbs.enter(0xa3);
  tbs.end();
  const extensions = readExtensions(explicit.enter(TAG.sequence));
  explicit.end();
  // The prefix ends in the point's first byte, 04, which says that both coordinates follow.
  const publicKey = spki.subarray(P384_PREFIX.length - 1);
  return { issuer, subject, notBefore, notAfter, publicKey, extensions };
}

function serialNumber(tbs: DerReader): void {
  const serial = unsignedInteger(tbs);
  // RFC 5280 §4.1.2.2: positive, at most 20 octets.
  if (serial.length > 20 || serial.every((byte) => byte === 0)) {
    throw tbs.malformed("the serial number must be positive and at most 20 octets");
  }
}

function algorithm(reader: DerReader): void {
  if (!equalBytes(reader.read(TAG.sequence).raw, ECDSA_SHA384)) {
    throw reader.malformed("the signature algorithm must be ecdsa-with-SHA384");
  }
}

/** ECDSA-Sig-Value (RFC 5480 Appendix A) as r ‖ s. */
function ecdsaSignature(bytes: Uint8Array, outer: DerReader): Uint8Array {
  const value = new DerReader(bytes);
  const sequence = value.enter(TAG.sequence);
  value.end();
  const [r, s] = [unsignedInteger(sequence), unsignedInteger(sequence)];
  sequence.end();
  if (r.length > 48 || s.length > 48) throw outer.malformed("r and s have at most 48 octets");
  return concat(new Uint8Array(48 - r.length), r, new Uint8Array(48 - s.length), s);
}

function readExtensions(list: DerReader): CertificateExtensions {
  const seen = new Set<string>();
  const unknownCritical: string[] = [];
  let extensions: Omit<CertificateExtensions, "unknownCritical"> = {};
  if (list.isAtEnd) throw list.malformed("a list of extensions has one at least");
  while (!list.isAtEnd) {
    const extension = list.enter(TAG.sequence);
    const oid = toHex(objectIdentifier(extension));
    const critical = extension.nextTag === TAG.boolean && notDefault(extension);
    const value = new DerReader(extension.read(TAG.octetString).content);
    extension.end();
    if (seen.has(oid)) throw list.malformed("an extension comes twice");
    seen.add(oid);
    const known = readExtension(oid, critical, value);
    if (known) extensions = { ...extensions, ...known };
    else if (critical) unknownCritical.push(oid);
  }
  return { ...extensions, unknownCritical };
}

function readExtension(
  oid: string,
  critical: boolean,
  value: DerReader,
): Omit<CertificateExtensions, "unknownCritical"> | undefined {
  switch (oid) {
    case OID_BASIC_CONSTRAINTS:
      return { basicConstraints: { critical, ...readBasicConstraints(value) } };
    case OID_KEY_USAGE:
      return { keyUsage: readKeyUsage(value) };
    case OID_SUBJECT_KEY_IDENTIFIER:
      return { subjectKeyIdentifier: readKeyIdentifier(value, TAG.octetString, critical) };
    case OID_AUTHORITY_KEY_IDENTIFIER: {
      const sequence = value.enter(TAG.sequence);
      value.end();
      return { authorityKeyIdentifier: readKeyIdentifier(sequence, 0x80, critical) };
    }
    default:
      return undefined;
  }
}

/** X.690 §11.5: a value equal to its default, which is FALSE here, is left out. */
function notDefault(reader: DerReader): true {
  if (!boolean(reader)) throw reader.malformed("FALSE is the default and must be left out");
  return true;
}

/** RFC 5280 §4.2.1.1, §4.2.1.2: never critical. Issuer and serial number beside an authority's key identifier are unused. */
function readKeyIdentifier(reader: DerReader, tag: number, critical: boolean): Uint8Array {
  const identifier = reader.read(tag).content;
  reader.end();
  if (critical) throw reader.malformed("a key identifier must not be critical");
  return identifier;
}

function readBasicConstraints(value: DerReader): { isCa: boolean; pathLength?: number } {
  const sequence = value.enter(TAG.sequence);
  value.end();
  const isCa = sequence.nextTag === TAG.boolean && notDefault(sequence);
  if (sequence.isAtEnd) return { isCa };
  const length = unsignedInteger(sequence);
  sequence.end();
  if (length.length > 1) throw sequence.malformed("pathLenConstraint is 0 to 255 here");
  return { isCa, pathLength: Number.parseInt(toHex(length), 16) };
}

function readKeyUsage(value: DerReader): { digitalSignature: boolean; keyCertSign: boolean } {
  const { content } = value.read(TAG.bitString);
  value.end();
  const [unused = 8, first = 0] = content;
  const last = content.subarray(1).at(-1) ?? 0;
  // X.690 §11.2.2: a list of named bits ends in a bit that is set.
  if (unused > 7 || ((last >> unused) & 1) === 0 || (last & ((1 << unused) - 1)) !== 0) {
    throw value.malformed("keyUsage must be a bit list in its shortest form");
  }
  return { digitalSignature: (first & 0x80) !== 0, keyCertSign: (first & 0x04) !== 0 };
}
