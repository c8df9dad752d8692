import { afterAll, describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  type ImageMeasurements,
  verifyAttestation,
  verifyHistoricalAttestation,
} from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { parse } from "../../shared/attestation/parse.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { codeOf, policyFor, ROOT } from "./row.ts";
import { makeDocument, NOW } from "./test-pki.ts";

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

const counts = { accepted: 0, refused: 0 };
afterAll(() => {
  if (!hasVectors) return;
  const { attestation, attestation_invalid: invalid } = index;
  const accepted = `${counts.accepted} of ${attestation.length} accepted at their own time`;
  console.log(
    `genuine documents: ${accepted}; invalid ones: ${counts.refused} of ${invalid.length} refused by their code`,
  );
});

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
      counts.accepted++;
    },
  );

  test("C03: each under tag 18 is the same document", async () => {
    for (const { file } of index.attestation) {
      const document = vector(file);
      const tagged = Uint8Array.from([0xd2, ...document]);
      expect(await verdict(tagged, { ...ownPolicy(document), dangerouslyAllowDebug: true })).toBe("accepted");
    }
  });

  test.each(index.attestation_invalid)("$file is refused: $why", async ({ file }) => {
    const document = vector(file);
    expect(await verdictOfInvalid(document)).toBe(INVALID[file]);
    counts.refused++;
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

describe.skipIf(!hasVectors)("documents of one world in another (needs the reference vectors)", () => {
  test("D34: a document of a mock is refused under AWS's root", async () => {
    const { document } = await makeDocument();
    expect(await codeOf(verifyAttestation(document, policyFor(AWS_NITRO_ROOT_G1), { now: NOW }))).toBe(ROOT);
  });

  test("D35: genuine documents are refused under the root of a mock", async () => {
    const { root } = await makeDocument();
    const { attestation } = vectorIndex();
    for (const { file, kind } of attestation) {
      const document = vector(file);
      expect(parse(document).kind).toBe(kind);
      expect(await codeOf(verifyHistoricalAttestation(document, policyFor(root)))).toBe(ROOT);
    }
    expect(attestation.length).toBe(62);
  });
});
