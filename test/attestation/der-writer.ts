/**
 * Writes DER, and on request what only resembles it: each part of a certificate is bytes that a test may replace before
 * the certificate is signed. Certificate libraries refuse to write broken ones; this one has no opinion.
 *
 * @module
 */
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";

/** A value of any tag; the length takes its shortest form. */
export function tlv(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concat(...content);
  return concat(Uint8Array.of(tag), lengthOf(body.length), body);
}

function lengthOf(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const digits = length.toString(16);
  const bytes = fromHex(digits.padStart(digits.length + (digits.length % 2), "0"));
  return concat(Uint8Array.of(0x80 | bytes.length), bytes);
}

export const sequence = (...content: readonly Uint8Array[]): Uint8Array => tlv(0x30, ...content);
export const octets = (...content: readonly Uint8Array[]): Uint8Array => tlv(0x04, ...content);
export const bits = (content: Uint8Array, unused = 0): Uint8Array => tlv(0x03, Uint8Array.of(unused), content);
export const text = (value: string, tag = 0x0c): Uint8Array => tlv(tag, utf8(value));
export const TRUE: Uint8Array = tlv(0x01, Uint8Array.of(0xff));
export const NULL: Uint8Array = tlv(0x05);

/** An INTEGER of a non-negative number, or of content bytes as they are. */
export function integer(value: bigint | number | Uint8Array): Uint8Array {
  if (value instanceof Uint8Array) return tlv(0x02, value);
  const digits = value.toString(16);
  const bytes = fromHex(digits.padStart(digits.length + (digits.length % 2), "0"));
  return tlv(0x02, ...((bytes[0] ?? 0) >= 0x80 ? [Uint8Array.of(0)] : []), bytes);
}

export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const arcs = [40 * first + second, ...rest].map((arc) => {
    const septets = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) septets.unshift((left & 0x7f) | 0x80);
    return Uint8Array.from(septets);
  });
  return tlv(0x06, ...arcs);
}

/** UTCTime to 2049, GeneralizedTime from 2050. */
export function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/[-:T]|\.\d{3}/g, "");
  return date.getUTCFullYear() < 2050 ? text(digits.slice(2), 0x17) : text(digits, 0x18);
}

/** Attributes as `CN=x,O=y`, each in an RDN of its own, as UTF8String unless another tag is named. */
export function name(attributes: string, tag = 0x0c): Uint8Array {
  const OIDS: Readonly<Record<string, string>> = { CN: "2.5.4.3", O: "2.5.4.10", OU: "2.5.4.11", C: "2.5.4.6" };
  const names = attributes.split(",").map((attribute) => {
    const [type = "", value = ""] = attribute.split("=");
    return tlv(0x31, sequence(oid(OIDS[type] ?? type), text(value, tag)));
  });
  return sequence(...names);
}

export function extension(id: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(id), ...(isCritical ? [TRUE] : []), octets(value));
}

export function basicConstraints(isCa: boolean, pathLength?: number | Uint8Array, isCritical = true): Uint8Array {
  const length = pathLength === undefined ? [] : [integer(pathLength)];
  return extension("2.5.29.19", isCritical, sequence(...(isCa ? [TRUE] : []), ...length));
}

export const USAGE = { digitalSignature: 0, nonRepudiation: 1, keyCertSign: 5, crlSign: 6, decipherOnly: 8 } as const;

export function keyUsage(usages: readonly number[], isCritical = true): Uint8Array {
  const last = Math.max(...usages);
  const content = new Uint8Array((last >> 3) + 1);
  for (const bit of usages) content[bit >> 3] = (content[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return extension("2.5.29.15", isCritical, bits(content, 7 - (last & 7)));
}

export const subjectKeyId = (id: Uint8Array, isCritical = false): Uint8Array =>
  extension("2.5.29.14", isCritical, octets(id));
export const authorityKeyId = (id: Uint8Array, isCritical = false): Uint8Array =>
  extension("2.5.29.35", isCritical, sequence(tlv(0x80, id)));

/** AlgorithmIdentifier of ecdsa-with-SHA384. */
export const ECDSA_SHA384: Uint8Array = sequence(oid("1.2.840.10045.4.3.3"));

/** ECDSA-Sig-Value of r ‖ s. */
export function signatureValue(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2;
  const number = (bytes: Uint8Array): Uint8Array => integer(BigInt(`0x${Buffer.from(bytes).toString("hex")}`));
  return sequence(number(signature.subarray(0, half)), number(signature.subarray(half)));
}

/** A certificate in parts; each is a whole value, tag and length included. */
export interface CertificateParts {
  version: Uint8Array;
  serial: Uint8Array;
  /** The algorithm inside what is signed, and the one outside. */
  signedAlgorithm: Uint8Array;
  algorithm: Uint8Array;
  issuer: Uint8Array;
  validity: Uint8Array;
  subject: Uint8Array;
  publicKey: Uint8Array;
  extensions: Uint8Array[];
  /** The field of extensions, from the list. */
  extensionsField: (extensions: readonly Uint8Array[]) => Uint8Array;
  /** The BIT STRING of the signature, from r ‖ s. */
  signature: (signature: Uint8Array) => Uint8Array;
  /** The whole, from what is signed, the algorithm and the signature. */
  certificate: (...parts: readonly Uint8Array[]) => Uint8Array;
}

/** The parts that a certificate of this profile has whatever it says. */
export function ordinaryParts(): Omit<
  CertificateParts,
  "serial" | "issuer" | "validity" | "subject" | "publicKey" | "extensions"
> {
  return {
    version: tlv(0xa0, integer(2)),
    signedAlgorithm: ECDSA_SHA384,
    algorithm: ECDSA_SHA384,
    extensionsField: (extensions) => tlv(0xa3, sequence(...extensions)),
    signature: (signature) => bits(signatureValue(signature)),
    certificate: (...parts) => sequence(...parts),
  };
}

export function tbsOf(parts: CertificateParts): Uint8Array {
  const { version, serial, signedAlgorithm, issuer, validity, subject, publicKey, extensions, extensionsField } = parts;
  return sequence(version, serial, signedAlgorithm, issuer, validity, subject, publicKey, extensionsField(extensions));
}
