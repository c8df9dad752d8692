/**
 * Reads the certificate that an image was signed with: PEM as AWS's tools keep it, and the few fields that matter.
 *
 * PCR8 measures its DER, so there must be exactly one certificate in the text and nothing beside it: AWS's tools take
 * the first and ignore the rest. What it says of names, issuers and extensions is not read: nothing here follows a
 * chain. Anyone can make such a certificate; only PCR8, expected by somebody, gives it a meaning.
 *
 * AWS signs with P-256, P-384 and P-521. All three are read, since PCR8 is the same whatever the key.
 *
 * Source: RFC 7468 §2, §5; RFC 5280 §4.1; RFC 5480 §2.
 *
 * @module
 */
import { equalBytes, fromHex } from "../bytes.ts";
import { DerReader, objectIdentifier, octetAlignedBits, TAG, unsignedInteger } from "../der/reader.ts";
import { readValidity } from "../der/time.ts";
import { EifError } from "../errors/eif.ts";
import { isEncodingError } from "../errors/encoding.ts";
import { extendPcr, zeroPcr } from "../nsm/pcr.ts";

export interface SigningCertificate {
  /** What PCR8 measures. */
  readonly der: Uint8Array;
  readonly curve: "P-256" | "P-384" | "P-521";
  /** The public key as an uncompressed point. */
  readonly point: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const PEM = /^-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END CERTIFICATE-----(?:\r?\n)?$/;
const PEM_MAX = 16_384;
const PATH = "[0].signing_certificate";

/** AlgorithmIdentifier { id-ecPublicKey, curve }, and how long a point is. */
const KEYS = [
  { curve: "P-256", algorithm: fromHex("301306072a8648ce3d020106082a8648ce3d030107"), pointBytes: 65 },
  { curve: "P-384", algorithm: fromHex("301006072a8648ce3d020106052b81040022"), pointBytes: 97 },
  { curve: "P-521", algorithm: fromHex("301006072a8648ce3d020106052b81040023"), pointBytes: 133 },
] as const;

/** @throws {EifError} `ERR_EIF_SIGNATURE` */
export function readSigningCertificate(pem: Uint8Array): SigningCertificate {
  const der = derOf(pem);
  try {
    return { der, ...readFields(der) };
  } catch (cause) {
    if (!isEncodingError(cause)) throw cause;
    throw new EifError("ERR_EIF_SIGNATURE", { path: PATH, rule: cause.message }, { cause });
  }
}

/** PCR8 of an image signed with this certificate: SHA-384(0^48 ‖ SHA-384(DER)). */
export async function measureCertificate({ der }: Pick<SigningCertificate, "der">): Promise<Uint8Array> {
  return extendPcr(zeroPcr(), new Uint8Array(await crypto.subtle.digest("SHA-384", Uint8Array.from(der))));
}

function derOf(pem: Uint8Array): Uint8Array {
  if (pem.length > PEM_MAX) throw malformed(`at most ${PEM_MAX} bytes`);
  const [, body] = PEM.exec(Array.from(pem, (byte) => String.fromCharCode(byte)).join("")) ?? [];
  if (body === undefined) throw malformed("is one certificate in PEM and nothing beside it");
  const base64 = body.replace(/[\r\n]/g, "");
  // What does not come back the same has a second way to be written, or is none.
  const isBase64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64);
  if (!isBase64 || btoa(atob(base64)) !== base64) throw malformed("is base64");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function malformed(rule: string): EifError {
  return new EifError("ERR_EIF_SIGNATURE", { path: PATH, rule });
}

function readFields(der: Uint8Array): Omit<SigningCertificate, "der"> {
  const input = new DerReader(der);
  const outer = input.enter(TAG.sequence);
  input.end();
  const tbs = outer.enter(TAG.sequence);
  const algorithm = readAlgorithm(outer);
  octetAlignedBits(outer);
  outer.end();
  // AWS's documentation makes certificates with `openssl x509 -req`, which are of version 1 and have no extensions.
  const hasVersion = tbs.nextTag === 0xa0;
  if (hasVersion) tbs.read(0xa0);
  unsignedInteger(tbs);
  if (!equalBytes(tbs.read(TAG.sequence).raw, algorithm)) throw tbs.malformed("the two signature algorithms agree");
  tbs.read(TAG.sequence);
  const { notBefore, notAfter } = readValidity(tbs.enter(TAG.sequence));
  tbs.read(TAG.sequence);
  const key = readKey(tbs.enter(TAG.sequence));
  if (hasVersion && !tbs.isAtEnd) tbs.read(0xa3);
  tbs.end();
  return { ...key, notBefore, notAfter };
}

/**
 * An object identifier, then nothing or NULL. AWS's tools hash what OpenSSL writes, and of all that stands here OpenSSL
 * writes only this anew: what is not DER inside would have another PCR8 with them.
 */
function readAlgorithm(certificate: DerReader): Uint8Array {
  const { raw, content } = certificate.read(TAG.sequence);
  const algorithm = new DerReader(content);
  objectIdentifier(algorithm);
  if (!algorithm.isAtEnd && algorithm.read(TAG.null).content.length > 0) throw algorithm.malformed("NULL is empty");
  algorithm.end();
  return raw;
}

function readKey(spki: DerReader): Pick<SigningCertificate, "curve" | "point"> {
  const { raw } = spki.read(TAG.sequence);
  const point = octetAlignedBits(spki);
  spki.end();
  const key = KEYS.find(({ algorithm }) => equalBytes(algorithm, raw));
  if (!key) throw spki.malformed("the key is on P-256, P-384 or P-521");
  if (point.length !== key.pointBytes || point[0] !== 4) throw spki.malformed("the key is an uncompressed point");
  return { curve: key.curve, point };
}
