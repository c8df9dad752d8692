/** The honesty of the mock: its documents pass the production checks under its own root, and fail them under AWS's. */
import { describe, expect, test } from "vitest";
import { createMockNsm, type MockNsmOptions } from "../../mock/nsm/index.ts";
import {
  AWS_NITRO_ROOT_G1,
  dangerouslyTrustRoot,
  type TrustAnchor,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { verdict } from "../eif/craft.ts";

const now = new Date("2026-02-06T08:24:18.452Z");
const nonce = utf8("sixteen bytes or more");
const measurements = measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("a")] });

async function verify(roots?: readonly [TrustAnchor], change: Partial<MockNsmOptions> = {}): Promise<string> {
  const { pcr0, pcr1, pcr2 } = await measurements;
  const options = { measurements: await measurements, now: () => now, ...change };
  const { device, rootCertificate } = await createMockNsm(options);
  const document = await device.attest({ nonce, userData: utf8("data"), publicKey: utf8("key") });
  const policy = {
    kind: "nsm" as const,
    roots: roots ?? ([dangerouslyTrustRoot(rootCertificate)] as const),
    images: [{ 0: pcr0, 1: pcr1, 2: pcr2 }] as const,
    nonce,
    userData: utf8("data"),
    publicKey: utf8("key"),
    maxAgeMs: 60_000,
  };
  return verdict(() => verifyAttestation(document, policy, { now }));
}

describe("a document of the mock", () => {
  test("is verified under the mock's root", async () => {
    expect(await verify()).toBe("accepted");
  });

  test("is refused under AWS's root, and under another run's", async () => {
    expect(await verify([AWS_NITRO_ROOT_G1])).toBe("ERR_ATTESTATION_ROOT_UNTRUSTED");
    const other = await createMockNsm({ measurements: await measurements });
    expect(await verify([dangerouslyTrustRoot(other.rootCertificate)])).toBe("ERR_ATTESTATION_ROOT_UNTRUSTED");
  });

  test("is refused in debug mode, and of another image", async () => {
    expect(await verify(undefined, { debug: true })).toBe("ERR_ATTESTATION_DEBUG_MODE");
    const other = await measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("b")] });
    expect(await verify(undefined, { measurements: other })).toBe("ERR_ATTESTATION_PCR_MISMATCH");
  });
});
