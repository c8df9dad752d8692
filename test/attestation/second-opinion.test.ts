/**
 * @peculiar/x509 as second opinion on our certificate reader: what ours reads, it reads the same; what ours accepts of
 * broken certificates, it accepts too.
 */
import "reflect-metadata";
import { readdirSync } from "node:fs";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
} from "@peculiar/x509";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { toHex } from "../../shared/bytes.ts";
import { importVerifyKey, isSigned } from "../../shared/cose/es384.ts";
import { type Certificate, readCertificate } from "../../shared/der/certificate.ts";
import { isEncodingError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorIndex, vectorsPath } from "../vectors.ts";
import { makeChain } from "./test-pki.ts";

const RUNS = process.env["SLOW"] ? 20_000 : 2_000;
const hex = (bytes: ArrayBuffer | Uint8Array): string => Buffer.from(bytes as Uint8Array).toString("hex");

/** Both readers' words, in one form; the serial number is not handed out by ours. */
function ours({ issuer, subject, notBefore, notAfter, publicKey, extensions }: Certificate) {
  const { basicConstraints, keyUsage, subjectKeyIdentifier, authorityKeyIdentifier } = extensions;
  return {
    names: [toHex(issuer), toHex(subject)],
    times: [notBefore.toISOString(), notAfter.toISOString()],
    publicKey: toHex(publicKey),
    basicConstraints: basicConstraints && [
      basicConstraints.critical,
      basicConstraints.isCa,
      basicConstraints.pathLength,
    ],
    keyUsage: keyUsage && [keyUsage.digitalSignature, keyUsage.keyCertSign],
    identifiers: [subjectKeyIdentifier, authorityKeyIdentifier].map((id) => id && toHex(id)),
  };
}

function theirs(certificate: X509Certificate) {
  const constraints = certificate.getExtension(BasicConstraintsExtension);
  const usages = certificate.getExtension(KeyUsagesExtension)?.usages;
  return {
    names: [hex(certificate.issuerName.toArrayBuffer()), hex(certificate.subjectName.toArrayBuffer())],
    times: [certificate.notBefore.toISOString(), certificate.notAfter.toISOString()],
    publicKey: hex(certificate.publicKey.rawData).slice(-2 * 97),
    basicConstraints: constraints ? [constraints.critical, constraints.ca, constraints.pathLength] : undefined,
    keyUsage:
      usages === undefined
        ? undefined
        : [(usages & KeyUsageFlags.digitalSignature) !== 0, (usages & KeyUsageFlags.keyCertSign) !== 0],
    identifiers: [
      certificate.getExtension(SubjectKeyIdentifierExtension)?.keyId,
      certificate.getExtension(AuthorityKeyIdentifierExtension)?.keyId,
    ],
  };
}

function tryRead(der: Uint8Array): Certificate | undefined {
  try {
    return readCertificate(der);
  } catch (error) {
    if (!isEncodingError(error)) throw error;
    return undefined;
  }
}

/** Whether a byte is of the OID of an extension, id-ce and a number: 06 03 55 1d xx. */
function isInExtensionId(der: Uint8Array, place: number): boolean {
  return [2, 3, 4].some((back) => toHex(der.subarray(place - back, place - back + 4)) === "0603551d");
}

const chains: readonly (readonly Uint8Array[])[] = vectorIndex().attestation.map(
  ({ file }) => decodeAttestationUnverified(vector(file)).chain,
);
const files = hasVectors ? readdirSync(vectorsPath("certs")).filter((name) => /\.(der|crt|pem)$/.test(name)) : [];

function derOf(name: string): Uint8Array {
  const bytes = vector(`certs/${name}`);
  const text = Buffer.from(bytes).toString("latin1");
  if (!text.startsWith("-----BEGIN")) return bytes;
  return new Uint8Array(Buffer.from(text.replace(/-----[^-]+-----/g, ""), "base64"));
}

describe.skipIf(!hasVectors)("genuine certificates (needs the reference vectors)", () => {
  test("all 310 of 62 documents are read alike", () => {
    const all = chains.flat();
    for (const der of all)
      expect(ours(readCertificate(der))).toEqual(theirs(new X509Certificate(Uint8Array.from(der))));
    expect(all.length).toBe(310);
  });

  test("each link of them verifies by both", async () => {
    const [chain = []] = chains.slice(-1);
    for (const [index, der] of chain.slice(1).entries()) {
      const issuer = chain[index] ?? der;
      const [read, key] = [readCertificate(der), await importVerifyKey(readCertificate(issuer).publicKey)];
      expect(await isSigned(key, read.signature, read.tbs)).toBe(true);
      const publicKey = new X509Certificate(Uint8Array.from(issuer)).publicKey;
      expect(await new X509Certificate(Uint8Array.from(der)).verify({ publicKey, signatureOnly: true })).toBe(true);
    }
  });

  test.each(files)("certs/%s is read alike, or refused", (name) => {
    const der = derOf(name);
    const read = tryRead(der);
    if (read) expect(ours(read)).toEqual(theirs(new X509Certificate(Uint8Array.from(der))));
  });

  test("most of the single files are in the profile", () => {
    expect(files.filter((name) => tryRead(derOf(name))).length).toBeGreaterThanOrEqual(10);
  });
});

describe("broken certificates", () => {
  let certificates: readonly Uint8Array[] = [];
  beforeAll(async () => void ({ certificates } = await makeChain()));

  test("ours accepts a subset, and reads what it accepts alike", () => {
    let [accepted, refused] = [0, 0];
    fc.assert(
      fc.property(fc.nat(4), fc.nat(1_023), fc.integer({ min: 1, max: 255 }), (index, at, flip) => {
        const der = certificates[index] ?? new Uint8Array(0);
        const place = at % der.length;
        // An extension under another OID is another extension: not critical and not known, it is not read by ours.
        fc.pre(!isInExtensionId(der, place));
        const broken = der.with(place, (der[place] ?? 0) ^ flip);
        const read = tryRead(broken);
        if (!read) return void refused++;
        accepted++;
        const [mine, its] = [ours(read), theirs(new X509Certificate(Uint8Array.from(broken)))];
        // Its names are written again from text, which loses what is not ASCII.
        const isAscii = [...read.issuer, ...read.subject].every((byte) => byte < 0x80);
        expect(isAscii ? mine : { ...mine, names: [] }).toEqual(isAscii ? its : { ...its, names: [] });
      }),
      { numRuns: RUNS },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(RUNS / 10);
  });

  test("the test PKI writes certificates that @peculiar/x509 verifies", async () => {
    for (const [index, der] of certificates.entries()) {
      const issuer = new X509Certificate(Uint8Array.from(certificates[Math.max(0, index - 1)] ?? der));
      const certificate = new X509Certificate(Uint8Array.from(der));
      expect(await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true })).toBe(true);
    }
  });
});
