/** The emulator with the project's own verifier: documents that AWS signed, and those of the mock NSM. */
import { CreateKeyCommand, DecryptCommand, EncryptCommand, type KMSServiceException } from "@aws-sdk/client-kms";
import { describe, expect, test } from "vitest";
import { type MockAws, startMockAws } from "../../mock/aws/index.ts";
import { createMockNsm } from "../../mock/nsm/index.ts";
import { authenticateAttestation } from "../../shared/attestation/authenticate.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { attestedStatement, clientOf, keyPolicy, NOW, options, RECIPIENT_ALGORITHM, rsaPair } from "./testbed.ts";

/** Makes a key for the image, then asks for a secret with the document; gives the error's name or `accepted`. */
async function askWith(aws: MockAws, imageHex: string, document: Uint8Array): Promise<string> {
  const [admin, enclave] = [clientOf(aws, "admin"), clientOf(aws, "enclave")];
  try {
    const condition = { StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": imageHex } };
    const Policy = keyPolicy(attestedStatement("enclave", condition));
    const KeyId = (await admin.send(new CreateKeyCommand({ Policy }))).KeyMetadata?.Arn;
    const { CiphertextBlob } = await admin.send(new EncryptCommand({ KeyId, Plaintext: utf8("secret") }));
    const Recipient = { ...RECIPIENT_ALGORITHM, AttestationDocument: document };
    const answer = await enclave.send(new DecryptCommand({ CiphertextBlob, KeyId, Recipient }));
    expect(answer.Plaintext).toBeUndefined();
    expect(answer.CiphertextForRecipient?.length).toBe(461);
    return "accepted";
  } catch (error) {
    return (error as KMSServiceException).name;
  } finally {
    for (const client of [admin, enclave]) client.destroy();
  }
}

describe.skipIf(!hasVectors)("documents that AWS signed (skipped without CLOISTER_VECTORS)", () => {
  const file = "attestation/20250821-i-0d7ff222bf091ba40-b2f0036d.cose";
  const roots = [AWS_NITRO_ROOT_G1];

  async function genuine() {
    const document = vector(file);
    const made = vectorIndex().attestation.find((entry) => entry.file === file)?.timestamp ?? expect.unreachable();
    const { pcrs } = await authenticateAttestation(document, { roots, now: new Date(made) });
    return { document, made, image: toHex(pcrs.get(0) ?? expect.unreachable()) };
  }

  test.each([
    ["young, and of the image named", {}, "accepted"],
    ["of another image", { image: "ab".repeat(48) }, "AccessDeniedException"],
    ["as old as allowed", { ageMs: 300_000 }, "accepted"],
    ["older", { ageMs: 300_001 }, "ValidationException"],
    [
      "past its certificate, whatever age is allowed",
      { ageMs: 4 * 3_600_000, maxDocumentAgeMs: 1e9 },
      "ValidationException",
    ],
    ["with a bit turned", { turnedBit: true }, "ValidationException"],
    ["where no root is trusted", { attestationRoots: [] }, "ValidationException"],
  ] as const)("%s → %s", async (_why, change, expected) => {
    const {
      image: wanted,
      ageMs = 1000,
      turnedBit,
      ...settings
    } = { image: "", turnedBit: false, ...change } as {
      image: string;
      ageMs?: number;
      turnedBit: boolean;
    };
    const { document, made, image } = await genuine();
    if (turnedBit) document[document.length - 1] = (document.at(-1) ?? 0) ^ 1;
    await using aws = await startMockAws(
      options({ attestationRoots: roots, now: () => new Date(made + ageMs), ...settings }),
    );
    expect(await askWith(aws, wanted === "" ? image : wanted, document)).toBe(expected);
  });
});

describe("documents of the mock NSM", async () => {
  const measurements = await measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("a")] });
  const image = toHex(measurements.pcr0);
  const { spki } = rsaPair();

  test("are accepted under their own root, refused under another's, and again when the root is set", async () => {
    const { device, rootCertificate } = await createMockNsm({ measurements, now: () => NOW });
    const other = await createMockNsm({ measurements, now: () => NOW });
    const document = await device.attest({ publicKey: spki });
    await using aws = await startMockAws(options({ attestationRoots: [rootCertificate] }));
    expect(aws.lastAttestationDocument()).toBeUndefined();
    expect(await askWith(aws, image, document)).toBe("accepted");
    aws.setAttestationRoots([other.rootCertificate]);
    expect(await askWith(aws, image, document)).toBe("ValidationException");
    expect(aws.trail().at(-1)?.explanation.attestation).toMatchObject({ code: "ERR_ATTESTATION_ROOT_UNTRUSTED" });
    expect(aws.lastAttestationDocument()).toEqual(Uint8Array.from(document));
    aws.setAttestationRoots([AWS_NITRO_ROOT_G1]);
    expect(await askWith(aws, image, document)).toBe("ValidationException");
    aws.setAttestationRoots([other.rootCertificate, rootCertificate]);
    expect(await askWith(aws, image, document)).toBe("accepted");
  });

  test("of a debug enclave are authentic, and match zeros only", async () => {
    const { device, rootCertificate } = await createMockNsm({ measurements, debug: true, now: () => NOW });
    const document = await device.attest({ publicKey: spki });
    await using aws = await startMockAws(options({ attestationRoots: [rootCertificate] }));
    expect(await askWith(aws, image, document)).toBe("AccessDeniedException");
    expect(await askWith(aws, "00".repeat(48), document)).toBe("accepted");
  });

  test("grow old with the emulator's clock", async () => {
    const { device, rootCertificate } = await createMockNsm({ measurements, now: () => NOW });
    const document = await device.attest({ publicKey: spki });
    await using aws = await startMockAws(options({ attestationRoots: [rootCertificate] }));
    aws.setClockOffsetMs(300_000);
    expect(await askWith(aws, image, document)).toBe("accepted");
    aws.setClockOffsetMs(300_001);
    expect(await askWith(aws, image, document)).toBe("ValidationException");
    aws.setClockOffsetMs(-1_000);
    expect(await askWith(aws, image, document)).toBe("accepted");
    aws.setClockOffsetMs(-1_001);
    expect(await askWith(aws, image, document)).toBe("ValidationException");
    expect(() => aws.setClockOffsetMs(Number.NaN)).toThrow(RangeError);
  });
});
