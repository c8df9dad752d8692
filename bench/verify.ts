/**
 * The verifier against its floor: what five bare P-384 signature checks with their key imports cost in this run.
 *
 * A document has five signatures (four in the chain, its own). The floor does nothing but import the five keys and check
 * the five signatures one after the other; the verifier parses, checks every rule, and checks them side by side.
 *
 * @module
 */
import { cpus } from "node:os";
import { bench, run } from "mitata";
import { createMockNsm } from "../mock/testing.ts";
import { type AttestationPolicy, dangerouslyTrustRoot, verifyAttestation } from "../shared/attestation/index.ts";
import { parse } from "../shared/attestation/parse.ts";
import { readCertificate } from "../shared/der/certificate.ts";

const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
const nonce = new Uint8Array(32).fill(1);
const measurements = { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) };
const { device, rootCertificate } = await createMockNsm({ measurements });
const document = await device.attest({ nonce });
const policy: AttestationPolicy = {
  kind: "nsm",
  roots: [dangerouslyTrustRoot(rootCertificate)],
  images: [{ 0: pcr(1), 1: pcr(2), 2: pcr(3) }],
  nonce,
  maxAgeMs: "unchecked",
  userData: "unchecked",
  publicKey: "unchecked",
};

const { chain, sign1 } = parse(document);
const certificates = chain.map(readCertificate);
const checks = certificates.map((certificate, index) => {
  const issued = certificates[index + 1];
  const { signature, signed } = issued ? { signature: issued.signature, signed: issued.tbs } : sign1;
  return {
    spki: Uint8Array.from(certificate.publicKey),
    signature: Uint8Array.from(signature),
    signed: Uint8Array.from(signed),
  };
});

async function floor(): Promise<void> {
  for (const { spki, signature, signed } of checks) {
    const curve = { name: "ECDSA", namedCurve: "P-384" };
    const key = await crypto.subtle.importKey("spki", spki, curve, false, ["verify"]);
    if (!(await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, key, signature, signed)))
      throw new Error("floor");
  }
}

const FLOOR = "floor: 5 key imports and 5 P-384 checks, one after the other";
const COLD = "verifyAttestation, nothing cached";
bench(FLOOR, floor);
bench(COLD, async () => {
  await verifyAttestation(document, policy);
});
bench("parse alone", () => parse(document));

const { benchmarks } = await run({ throw: true });
const median = (name: string): number => {
  const stats = benchmarks.find((trial) => trial.alias === name)?.runs[0]?.stats;
  if (!stats) throw new Error(`no figure for ${name}`);
  return stats.p50;
};
const ratio = median(COLD) / median(FLOOR);
console.log(
  `\nverify ÷ floor: ${ratio.toFixed(2)} (medians of one run; node ${process.version}, ${cpus().length} cores)`,
);
await device.close();
