/**
 * What verifyAttestation gives is the caller's to keep: nothing that happens to the input later changes it.
 */
import { describe, expect, test } from "vitest";
import { dangerouslyTrustRoot, isVerifiedAttestation, verifyAttestation } from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { policyFor } from "./row.ts";
import { makeDocument, NOW, PCR } from "./test-pki.ts";

describe("what verifyAttestation gives", () => {
  const verify = async () => {
    const { document, root } = await makeDocument();
    const policy = { ...policyFor(root), nonce: "unchecked" } as const;
    const attestation = await verifyAttestation(document, policy, { now: NOW });
    return { attestation, document };
  };

  test("P16: changing the input afterwards changes nothing", async () => {
    const { attestation, document } = await verify();
    const before = toHex(attestation.pcrs.get(0) ?? new Uint8Array(0));
    document.fill(0);
    expect(toHex(attestation.pcrs.get(0) ?? new Uint8Array(0))).toBe(before);
    expect(before).toBe("01".repeat(48));
  });

  test("P16: the registers of a verified document can not be replaced", async () => {
    const { attestation } = await verify();
    const pcrs = attestation.pcrs as Map<number, Uint8Array>;
    for (const change of [() => pcrs.set(0, PCR(9)), () => pcrs.delete(0), () => pcrs.clear()]) {
      expect(change).toThrow(TypeError);
    }
    expect(toHex(attestation.pcrs.get(0) ?? new Uint8Array(0))).toBe("01".repeat(48));
  });

  test("only its own results count as verified, a copy does not", async () => {
    const { attestation } = await verify();
    expect(isVerifiedAttestation(attestation)).toBe(true);
    expect(isVerifiedAttestation({ ...attestation })).toBe(false);
    expect(isVerifiedAttestation(null)).toBe(false);
  });

  test("the policy is read once: changing it during verification changes nothing", async () => {
    const { document, root } = await makeDocument();
    const image = { 0: PCR(7), 1: PCR(2), 2: PCR(3) };
    const roots = [dangerouslyTrustRoot(root)] as const;
    const policy = { ...policyFor(root), roots, images: [image], nonce: "unchecked" } as const;
    const verifying = verifyAttestation(document, policy, { now: NOW });
    image[0] = PCR(1);
    await expect(verifying).rejects.toMatchObject({ code: "ERR_ATTESTATION_PCR_MISMATCH" });
  });
});
