/** The mock's chain beside a genuine one: the same shape, another root. */
import "reflect-metadata";
import { KeyUsagesExtension, X509Certificate } from "@peculiar/x509";
import { describe, expect, test } from "vitest";
import { createMockNsm, createPki } from "../../mock/nsm/index.ts";
import { equalBytes, toHex, utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { claimsOf } from "../nsm/suite.ts";
import { hasVectors, vector } from "../vectors.ts";

const HOUR = 3_600_000;
const instanceId = "i-0123456789abcdef0";
const start = Date.parse("2026-02-06T08:24:15.500Z");
const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const measurements = measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i")] });
const genuine = "attestation/20260206-i-0761a4cbcc7632aef-1ad417fa.cose";

function chainOf(document: Uint8Array): X509Certificate[] {
  const claims = claimsOf(document);
  const ders = [...(claims.get("cabundle") as Uint8Array[]), claims.get("certificate") as Uint8Array];
  return ders.map((der) => new X509Certificate(new Uint8Array(der)));
}

async function mockDocument(now: () => Date): Promise<{ document: Uint8Array; rootCertificate: Uint8Array }> {
  const { device, rootCertificate } = await createMockNsm({
    measurements: await measurements,
    now,
    region: "ap-southeast-2",
  });
  return { document: await device.attest({}), rootCertificate };
}

/** What a verifier can see of a certificate but for keys, serial, random names and dates. */
function shapeOf(certificate: X509Certificate): object {
  const usages = certificate.getExtension(KeyUsagesExtension);
  return {
    subject: certificate.subjectName.toJSON().map((part) => Object.keys(part)[0]),
    commonName: certificate.subjectName
      .getField("CN")[0]
      ?.replace(/^i-[0-9a-f]{17}/, "instance")
      .replace(/-enc[0-9a-f]{16}/, "-enclave")
      .replace(/^[0-9a-f]{15,16}\./, "hex."),
    nameStrings: stringTypes(certificate),
    extensions: certificate.extensions.map(({ type, critical }) => `${type} ${critical}`).sort(),
    basicConstraints: toHex(new Uint8Array(certificate.getExtension("2.5.29.19")?.value ?? new ArrayBuffer())),
    usages: toHex(new Uint8Array(usages?.value ?? new ArrayBuffer())),
    algorithm: certificate.signatureAlgorithm,
    key: certificate.publicKey.algorithm,
    // With the digits and the Z: two bytes alone also come about by chance in a key or a signature.
    utcTime: [...toHex(new Uint8Array(certificate.rawData)).matchAll(/170d(3[0-9]){12}5a/g)].length,
  };
}

/** The DER tags of the subject's values, by attribute. */
function stringTypes(certificate: X509Certificate): string {
  const hex = toHex(new Uint8Array(certificate.subjectName.toArrayBuffer()));
  return [...hex.matchAll(/0603(5504..)(0c|13)/g)].map(([, oid, tag]) => `${oid} ${tag}`).join();
}

describe.skipIf(!hasVectors)("the mock's chain beside a genuine one", () => {
  test.each([0, 1, 2, 3, 4])("certificate %d has the same shape", async (index) => {
    const { document } = await mockDocument(() => new Date(start));
    const [mock, real] = [chainOf(document)[index], chainOf(vector(genuine))[index]];
    if (!mock || !real) throw new Error("a chain has five certificates");
    expect(shapeOf(mock)).toEqual(shapeOf(real));
  });

  test("root, instance and leaf live exactly as long as AWS's, the others within a day", async () => {
    const { document } = await mockDocument(() => new Date(start));
    const lives = (chain: X509Certificate[]) => chain.map((c) => c.notAfter.getTime() - c.notBefore.getTime());
    const [mock, real] = [lives(chainOf(document)), lives(chainOf(vector(genuine)))];
    expect([mock[0], mock[3], mock[4]]).toEqual([real[0], real[3], real[4]]);
    for (const index of [1, 2])
      expect(Math.abs((mock[index] ?? 0) - (real[index] ?? 0))).toBeLessThanOrEqual(24 * HOUR);
  });

  test("the leaf has no SKI, AKI or EKU, and its serial number is made as AWS makes it", async () => {
    const { document } = await mockDocument(() => new Date(start));
    const leaf = chainOf(document)[4];
    for (const type of ["2.5.29.14", "2.5.29.35", "2.5.29.37"]) expect(leaf?.getExtension(type)).toBeNull();
    const enclave = String(claimsOf(document).get("module_id")).slice(-16);
    expect(leaf?.serialNumber.padStart(32, "0")).toBe(`${enclave}00000000${(Math.floor(start / 1000)).toString(16)}`);
    expect(leaf?.notBefore.getTime()).toBe(Math.floor(start / 1000) * 1000);
  });
});

describe("the chain", () => {
  test("starts at the root, and each certificate is signed by the one before, valid now", async () => {
    const now = new Date(start);
    const { document, rootCertificate } = await mockDocument(() => now);
    const chain = chainOf(document);
    expect(equalBytes(new Uint8Array(chain[0]?.rawData ?? new ArrayBuffer()), rootCertificate)).toBe(true);
    for (const [index, certificate] of chain.entries()) {
      const issuer = chain[Math.max(0, index - 1)] ?? certificate;
      expect(await certificate.verify({ publicKey: issuer.publicKey, date: now })).toBe(true);
      expect(certificate.issuer).toBe(issuer.subject);
    }
  });

  test("two runs have two roots; neither is AWS's", async () => {
    const roots = await Promise.all([mockDocument(() => new Date()), mockDocument(() => new Date())]);
    expect(toHex(roots[0]?.rootCertificate ?? new Uint8Array())).not.toBe(
      toHex(roots[1]?.rootCertificate ?? new Uint8Array()),
    );
    if (hasVectors) expect(equalBytes(roots[0].rootCertificate, vector("certs/aws-nitro-root-g1.der"))).toBe(false);
  });

  test("keys can not be exported", async () => {
    const pki = await createPki({ region: "eu-west-1", instanceId, now: () => new Date(start), randomBytes });
    const { signingKey } = await pki.issueLeaf(`${instanceId}-enc0123456789abcdef`);
    await expect(crypto.subtle.exportKey("pkcs8", signingKey)).rejects.toThrow();
  });

  test("one leaf serves for three hours, then a new one comes; after 30 days all but the root are new", async () => {
    let ms = start;
    const { device } = await createMockNsm({ measurements: await measurements, now: () => new Date(ms) });
    const chainAt = async (time: number) => {
      ms = time;
      return chainOf(await device.attest({}));
    };
    const serials = (chain: X509Certificate[]) => chain.map((c) => c.serialNumber);
    const first = await chainAt(start);
    expect(serials(await chainAt(start + 3 * HOUR - 1000))).toEqual(serials(first));
    const second = await chainAt(start + 3 * HOUR);
    expect(serials(second).slice(0, 4)).toEqual(serials(first).slice(0, 4));
    expect(second[4]?.serialNumber).not.toBe(first[4]?.serialNumber);
    const later = await chainAt(start + 30 * 24 * HOUR);
    expect(later[0]?.serialNumber).toBe(first[0]?.serialNumber);
    for (let index = 1; index < 5; index++) expect(later[index]?.serialNumber).not.toBe(first[index]?.serialNumber);
  });

  test("at any time of 45 days the chain verifies, and no issuer ends before the leaf", async () => {
    let ms = start;
    const { device } = await createMockNsm({ measurements: await measurements, now: () => new Date(ms) });
    for (; ms < start + 45 * 24 * HOUR; ms += 31 * HOUR) {
      const chain = chainOf(await device.attest({}));
      for (const [index, certificate] of chain.entries()) {
        const issuer = chain[Math.max(0, index - 1)] ?? certificate;
        expect(await certificate.verify({ publicKey: issuer.publicKey, date: new Date(ms) })).toBe(true);
        expect(certificate.notAfter.getTime()).toBeGreaterThanOrEqual(chain[4]?.notAfter.getTime() ?? 0);
      }
    }
  });
});
