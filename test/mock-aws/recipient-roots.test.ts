/** Whose documents are believed: mock root, AWS's, both, on each operation, with the project's own verifier. */
import {
  CreateKeyCommand,
  DecryptCommand,
  DeriveSharedSecretCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateRandomCommand,
  GetPublicKeyCommand,
  type KMSServiceException,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type MockAws, startMockAws } from "../../mock/aws/index.ts";
import { createMockNsm } from "../../mock/nsm/index.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { clientOf, options, RECIPIENT_ALGORITHM, rsaPair } from "./testbed.ts";

const file = "attestation/20250821-i-0d7ff222bf091ba40-b2f0036d.cose";

describe.skipIf(!hasVectors)("roots of trust (needs the reference vectors)", () => {
  let aws: MockAws;
  let mockRoot: Uint8Array;
  const documents = new Map<string, Uint8Array>();

  beforeAll(async () => {
    const made = vectorIndex().attestation.find((entry) => entry.file === file)?.timestamp ?? expect.unreachable();
    const now = () => new Date(made + 1000);
    const nsm = await createMockNsm({
      measurements: { pcr0: new Uint8Array(48), pcr1: new Uint8Array(48), pcr2: new Uint8Array(48) },
      now,
    });
    mockRoot = nsm.rootCertificate;
    documents.set("mock", await nsm.device.attest({ publicKey: rsaPair().spki }));
    documents.set("AWS", vector(file));
    aws = await startMockAws(options({ now }));
  });
  afterAll(() => aws.close());

  /** What each of the five operations says to the document. */
  async function verdicts(whose: string): Promise<Record<string, string>> {
    const client = clientOf(aws, "admin");
    const make = async (input: object): Promise<string> =>
      (await client.send(new CreateKeyCommand(input))).KeyMetadata?.Arn ?? "";
    const [KeyId, agreement] = [await make({}), await make({ KeySpec: "ECC_NIST_P256", KeyUsage: "KEY_AGREEMENT" })];
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from("secret") }));
    const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId: agreement }));
    const Recipient = { ...RECIPIENT_ALGORITHM, AttestationDocument: documents.get(whose) };
    const calls = {
      Decrypt: client.send(new DecryptCommand({ KeyId, CiphertextBlob, Recipient })),
      GenerateDataKey: client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256", Recipient })),
      GenerateDataKeyPair: client.send(
        new GenerateDataKeyPairCommand({ KeyId, KeyPairSpec: "ECC_NIST_P256", Recipient }),
      ),
      GenerateRandom: client.send(new GenerateRandomCommand({ NumberOfBytes: 8, Recipient })),
      DeriveSharedSecret: client.send(
        new DeriveSharedSecretCommand({ KeyId: agreement, KeyAgreementAlgorithm: "ECDH", PublicKey, Recipient }),
      ),
    };
    const told = Object.entries(calls).map(async ([name, call]) => {
      const verdict = await call.then(
        ({ CiphertextForRecipient: message }) => (message ? "accepted" : "no message"),
        (error: KMSServiceException) => error.name,
      );
      return [name, verdict] as const;
    });
    const result = Object.fromEntries(await Promise.all(told));
    client.destroy();
    return result;
  }

  const all = (verdict: string) => ({
    ...{ Decrypt: verdict, GenerateDataKey: verdict, GenerateDataKeyPair: verdict },
    ...{ GenerateRandom: verdict, DeriveSharedSecret: verdict },
  });
  test.each([
    [["mock"], "mock", "accepted"],
    [["mock"], "AWS", "ValidationException"],
    [["AWS"], "mock", "ValidationException"],
    [["AWS"], "AWS", "accepted"],
    [["mock", "AWS"], "mock", "accepted"],
    [["mock", "AWS"], "AWS", "accepted"],
    [[], "AWS", "ValidationException"],
  ])("K16: under roots %j a document of %s → %s", async (roots, whose, expected) => {
    aws.setAttestationRoots(roots.map((root) => (root === "AWS" ? AWS_NITRO_ROOT_G1 : mockRoot)));
    expect(await verdicts(whose)).toEqual(all(expected));
  });
});
