/**
 * Moves a case of x509-limbo onto P-384: the same certificates, byte for byte, but for
 *
 *   the key         each P-256 key becomes a P-384 key, equal keys equal keys
 *   the signature   ecdsa-with-SHA256 becomes ecdsa-with-SHA384, signed by whoever signed the original
 *   the leaf        one without basicConstraints is given critical, empty ones, as every leaf of AWS has
 *
 * Names, times, serial numbers, versions and extensions stay as they were written, broken ones included.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { concat, equalBytes, fromHex, toHex } from "../../shared/bytes.ts";
import { basicConstraints, bits, ECDSA_SHA384, oid, sequence, signatureValue, tlv } from "../attestation/der-writer.ts";
import { type KeyPair, newKeys, sign } from "../attestation/test-pki.ts";

export interface LimboCase {
  readonly id: string;
  readonly features: readonly string[] | null;
  readonly description: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: "SUCCESS" | "FAILURE";
}

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const P256_HEAD = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
const BASIC_CONSTRAINTS = oid("2.5.29.19");
const pool: Promise<KeyPair[]> = Promise.all(Array.from({ length: 8 }, () => newKeys()));

/** The values that stand one after the other; any tag, definite lengths. */
export function valuesOf(bytes: Uint8Array): Uint8Array[] {
  const values: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { head, length } = headOf(bytes.subarray(at));
    values.push(bytes.subarray(at, at + head + length));
    at += head + length;
  }
  return values;
}

function headOf(bytes: Uint8Array): { head: number; length: number } {
  const first = bytes[1] ?? 0;
  if (first < 0x80) return { head: 2, length: first };
  const digits = toHex(bytes.subarray(2, 2 + (first & 0x7f)));
  return { head: 2 + digits.length / 2, length: Number.parseInt(digits, 16) };
}

const contentOf = (value: Uint8Array): Uint8Array => value.subarray(headOf(value).head);

export function derOf(pem: string): Uint8Array {
  return new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64"));
}

/** Whose key, of these, verifies the signature; Node is asked. */
function signerOf(der: Uint8Array, candidates: readonly Uint8Array[]): number {
  return candidates.findIndex((candidate) => {
    try {
      return new X509Certificate(der).verify(new X509Certificate(candidate).publicKey);
    } catch {
      return false; // OpenSSL does not read it: then nobody signed it, and its copy gets a stranger's signature.
    }
  });
}

export interface MovedCase {
  readonly roots: readonly Uint8Array[];
  readonly intermediates: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  /** Whether every key of the case was on P-256, and so is now on P-384. */
  readonly isMoved: boolean;
}

export async function moveToP384(limbo: LimboCase): Promise<MovedCase> {
  const [roots, intermediates] = [limbo.trusted_certs.map(derOf), limbo.untrusted_intermediates.map(derOf)];
  const all = [...roots, ...intermediates, derOf(limbo.peer_certificate)];
  const spkis = all.map((der) => spkiOf(der));
  const keys = await pool;
  const keyAt = (index: number): KeyPair => {
    const spki = spkis[index];
    const first = spki ? spkis.findIndex((other) => equalBytes(other, spki)) : 7;
    const key = keys[first];
    if (!key) throw new RangeError(`more than ${keys.length} keys`);
    return key;
  };
  const moved = await Promise.all(
    all.map((der, index) => rewrite(der, keyAt(index), keyAt(signerOf(der, all)), index === all.length - 1)),
  );
  return {
    roots: moved.slice(0, roots.length),
    intermediates: moved.slice(roots.length, -1),
    leaf: moved.at(-1) ?? new Uint8Array(0),
    isMoved: spkis.every((spki) => equalBytes(spki.subarray(0, P256_HEAD.length), P256_HEAD)),
  };
}

/** Where the parts of a TBSCertificate begin: a version that is left out leaves no gap. */
function fieldsOf(der: Uint8Array): { fields: Uint8Array[]; from: number; algorithm: Uint8Array } {
  const [tbs = der, algorithm = der] = valuesOf(contentOf(der));
  const fields = valuesOf(contentOf(tbs));
  return { fields, from: fields[0]?.[0] === 0xa0 ? 1 : 0, algorithm };
}

function spkiOf(der: Uint8Array): Uint8Array {
  const { fields, from } = fieldsOf(der);
  return fields[from + 5] ?? der;
}

async function rewrite(der: Uint8Array, own: KeyPair, signer: KeyPair, isLeaf: boolean): Promise<Uint8Array> {
  const { fields, from, algorithm } = fieldsOf(der);
  const es384 = (value: Uint8Array): Uint8Array => (equalBytes(value, ECDSA_SHA256) ? ECDSA_SHA384 : value);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", own.publicKey));
  const written = fields.map((field, index) => {
    if (index === from + 1) return es384(field);
    if (index === from + 5) return equalBytes(field.subarray(0, P256_HEAD.length), P256_HEAD) ? publicKey : field;
    return isLeaf && field[0] === 0xa3 ? withConstraints(field) : field;
  });
  const tbs = sequence(...written);
  return sequence(tbs, es384(algorithm), bits(signatureValue(await sign(signer, tbs))));
}

function withConstraints(field: Uint8Array): Uint8Array {
  const list = valuesOf(contentOf(contentOf(field)));
  const isThere = list.some((extension) => equalBytes(contentOf(extension).subarray(0, 5), BASIC_CONSTRAINTS));
  return isThere ? field : tlv(0xa3, sequence(concat(...list), basicConstraints(false)));
}

/** Every order of every choice of the intermediates, since a document gives the order and we build no paths. */
export function ordersOf<Item>(items: readonly Item[]): Item[][] {
  return [[], ...items.flatMap((item, index) => ordersOf(items.toSpliced(index, 1)).map((rest) => [item, ...rest]))];
}
