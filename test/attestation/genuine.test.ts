import { describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  type ImageMeasurements,
  verifyHistoricalAttestation,
} from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";

const index = vectorIndex();

/** The policy that a document satisfies by itself: its own registers, its kind, nothing else asked. */
function ownPolicy(document: Uint8Array): AttestationPolicy {
  const { kind, pcrs } = decodeAttestationUnverified(document);
  return {
    kind,
    roots: [AWS_NITRO_ROOT_G1],
    images: [Object.fromEntries(pcrs) as ImageMeasurements],
    nonce: "unchecked",
    maxAgeMs: "unchecked",
    userData: "unchecked",
    publicKey: "unchecked",
  };
}

async function verdict(document: Uint8Array, policy: AttestationPolicy): Promise<string> {
  try {
    await verifyHistoricalAttestation(document, policy);
    return "accepted";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return error.code;
  }
}

describe.skipIf(!hasVectors)("genuine documents (needs the reference vectors)", () => {
  test("there are 62 genuine and 6 invalid ones", () => {
    expect([index.attestation.length, index.attestation_invalid.length]).toEqual([62, 6]);
  });

  test.each(index.attestation)(
    "$file is accepted at its own time",
    async ({ file, debug_mode_pcr0_zero, timestamp }) => {
      const document = vector(file);
      const policy = ownPolicy(document);
      if (debug_mode_pcr0_zero) {
        expect(await verdict(document, { ...policy, dangerouslyAllowDebug: true })).toBe("accepted");
        const measured = { ...policy.images[0], 0: "01".repeat(48), 1: "02".repeat(48), 2: "03".repeat(48) };
        expect(await verdict(document, { ...policy, images: [measured] })).toBe("ERR_ATTESTATION_DEBUG_MODE");
      } else {
        expect(await verdict(document, policy)).toBe("accepted");
      }
      expect(decodeAttestationUnverified(document).timestamp.getTime()).toBe(timestamp);
    },
  );

  test.each(index.attestation_invalid)("$file is refused: $why", async ({ file }) => {
    const document = vector(file);
    expect(await verdictOfInvalid(document)).toBe(INVALID[file]);
  });
});

/** Even under the weakest policy that can be written: the document's own registers, debug allowed. */
async function verdictOfInvalid(document: Uint8Array): Promise<string> {
  try {
    return await verdict(document, { ...ownPolicy(document), dangerouslyAllowDebug: true });
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return error.code;
  }
}

/** What each invalid document must be refused for. */
const INVALID: Readonly<Record<string, string>> = {
  "attestation-invalid/veracruz-bad-signature.cose": "ERR_ATTESTATION_SIGNATURE",
  "attestation-invalid/fortanix-tampered-certificate.cose": "ERR_ATTESTATION_CHAIN",
  // Corrupted in the copy of the root that it carries: the pinned bytes differ.
  "attestation-invalid/bedrock-tampered-certificate.cose": "ERR_ATTESTATION_ROOT_UNTRUSTED",
  "attestation-invalid/oyster-custom-root-pcr16.cose": "ERR_ATTESTATION_ROOT_UNTRUSTED",
  "attestation-invalid/blocky-selfsigned-null-cabundle.cose": "ERR_ATTESTATION_MALFORMED",
  "attestation-invalid/pontifex-mock.cose": "ERR_ATTESTATION_ALGORITHM",
};
