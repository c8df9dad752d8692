import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AttestationPolicy, dangerouslyTrustRoot, verifyAttestation } from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { readCertificate } from "../../shared/der/certificate.ts";
import { isAttestationError, isEncodingError } from "../../shared/errors/index.ts";
import { makeDocument, NOW, PCR } from "./test-pki.ts";

const RUNS = process.env["SLOW"] ? 3_000 : 300;

describe("properties", () => {
  test("any single-byte change of a document is refused", async () => {
    const { document, root } = await makeDocument();
    const policy: AttestationPolicy = {
      kind: "nsm",
      roots: [dangerouslyTrustRoot(root)],
      images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
      nonce: "unchecked",
      maxAgeMs: "unchecked",
      userData: "unchecked",
      publicKey: "unchecked",
    };
    await verifyAttestation(document, policy, { now: NOW });
    const change = fc.tuple(fc.nat(document.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(change, async ([at, flip]) => {
        const changed = document.with(at, (document[at] ?? 0) ^ flip);
        const verdict = await verifyAttestation(changed, policy, { now: NOW }).then(
          () => "accepted",
          (error: unknown) => isAttestationError(error),
        );
        expect(verdict).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  test("the parsers throw nothing but their own errors, whatever the bytes", async () => {
    const { document } = await makeDocument();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(document.length), fc.uint8Array({ maxLength: 30 })).map(([at, noise]) => {
        const mixed = Uint8Array.from(document);
        mixed.set(noise.subarray(0, mixed.length - at), at);
        return mixed;
      }),
    );
    const own = (read: () => unknown): boolean => {
      try {
        read();
        return true;
      } catch (error) {
        return isAttestationError(error) || isEncodingError(error);
      }
    };
    fc.assert(
      fc.property(bytes, (input) => {
        expect(own(() => decodeAttestationUnverified(input))).toBe(true);
        expect(own(() => decodeCbor(input, { maxDepth: 8, indefinite: true }))).toBe(true);
        expect(own(() => readCertificate(input))).toBe(true);
      }),
      { numRuns: RUNS * 10 },
    );
  });
});
