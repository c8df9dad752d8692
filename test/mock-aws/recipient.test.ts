/** Attested calls: what the document must be, what policies see of it, what comes back, what is written down. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  type KMSClient,
  PutKeyPolicyCommand,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import type { FaultAnswer } from "../../mock/aws/kms/faults.ts";
import { utf8 } from "../../shared/bytes.ts";
import {
  answerTo,
  arnOf,
  attestedStatement,
  clientOf,
  type FakeDocument,
  fakeDocument,
  keyPolicy,
  OTHER,
  OWNER,
  openByOffsets,
  PCR0,
  RECIPIENT_ALGORITHM,
  type RsaPair,
  recipientOf,
  rsaPair,
  startTestbed,
  ZERO,
} from "./testbed.ts";

const R = "kms:RecipientAttestation:";
let aws: MockAws;
let admin: KMSClient;
let enclave: KMSClient;
let partner: KMSClient;
let keyArn: string;
let blob: Uint8Array;
let pair: RsaPair;

beforeAll(async () => {
  pair = rsaPair();
  aws = await startTestbed();
  [admin, enclave, partner] = [clientOf(aws, "admin"), clientOf(aws, "enclave"), clientOf(aws, "partner")];
  const { KeyMetadata: key } = await admin.send(new CreateKeyCommand({}));
  keyArn = key?.Arn ?? expect.unreachable();
  const sealed = await admin.send(new EncryptCommand({ KeyId: keyArn, Plaintext: utf8("secret of the enclave") }));
  blob = sealed.CiphertextBlob ?? expect.unreachable();
});
beforeEach(() => setPolicy({ StringEqualsIgnoreCase: { [`${R}ImageSha384`]: PCR0 } }));
afterAll(async () => {
  for (const client of [admin, enclave, partner]) client.destroy();
  await aws.close();
});

async function setPolicy(conditions: object): Promise<void> {
  const statements = [attestedStatement("enclave", conditions), attestedStatement("partner", conditions)];
  await admin.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy: keyPolicy(...statements) }));
}

const recipient = (document?: FakeDocument) => recipientOf(pair, document);
const decrypt = (document?: FakeDocument, client = enclave) =>
  client.send(new DecryptCommand({ CiphertextBlob: blob, KeyId: keyArn, Recipient: recipient(document) }));

describe("what comes back", () => {
  test("Decrypt: a message that the attested key opens, and no Plaintext", async () => {
    const answer = await decrypt();
    expect(answer.Plaintext).toBeUndefined();
    expect(answer.KeyId).toBe(keyArn);
    expect(openByOffsets(answer.CiphertextForRecipient, pair).toString("latin1")).toBe("secret of the enclave");
  });

  test("GenerateDataKey: the message holds the key that the blob holds", async () => {
    const input = { KeyId: keyArn, KeySpec: "AES_256", Recipient: recipient() } as const;
    const generated = await enclave.send(new GenerateDataKeyCommand(input));
    expect(generated.Plaintext).toBeUndefined();
    expect(generated.CiphertextForRecipient?.length).toBe(493);
    const opened = await admin.send(new DecryptCommand({ CiphertextBlob: generated.CiphertextBlob }));
    const hidden = Buffer.from(opened.Plaintext ?? []).toString("latin1");
    expect(openByOffsets(generated.CiphertextForRecipient, pair).toString("latin1")).toBe(hidden);
  });

  const hasOpenssl = hasCommand("openssl", ["version"]);
  test.skipIf(!hasOpenssl)("openssl cms -decrypt opens it (skipped where there is no openssl)", async () => {
    const { CiphertextForRecipient } = await decrypt();
    const folder = mkdtempSync(join(tmpdir(), "cms-"));
    try {
      writeFileSync(join(folder, "key.pem"), pair.privateKey.export({ type: "pkcs8", format: "pem" }));
      writeFileSync(join(folder, "message.ber"), CiphertextForRecipient ?? expect.unreachable());
      const args = ["cms", "-decrypt", "-inform", "DER", "-in", "message.ber", "-inkey", "key.pem"];
      expect(execFileSync("openssl", args, { cwd: folder }).toString()).toBe("secret of the enclave");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function hasCommand(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("what the document must be", () => {
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "der", type: "spki" });
  test.each([
    ["K16 exactly as old as allowed", { ageMs: 300_000 }, "accepted"],
    ["K16 a millisecond older", { ageMs: 300_001 }, "ValidationException"],
    ["K16 made now", { ageMs: 0 }, "accepted"],
    ["K16 from the future, as far as allowed", { ageMs: -1_000 }, "accepted"],
    ["K16 from further in the future", { ageMs: -1_001 }, "ValidationException"],
    ["K16 debug registers against a policy", { pcrs: { 0: ZERO } }, "AccessDeniedException"],
    ["K17 no public_key", { publicKey: undefined }, "ValidationException"],
    ["K17 RSA-1024", { publicKey: rsaPair(1024).spki }, "ValidationException"],
    ["K17 RSA-3072", { publicKey: rsaPair(3072).spki }, "ValidationException"],
    ["K17 an EC key", { publicKey: ec }, "ValidationException"],
    ["K17 not a key", { publicKey: utf8("key") }, "ValidationException"],
    ["another image", { pcrs: { 0: ZERO.replace(/.$/, "1") } }, "AccessDeniedException"],
    ["no PCR0 at all", { pcrs: { 1: PCR0 } }, "AccessDeniedException"],
    ["K24 the same value in a NitroTPM's register", { kind: "nitrotpm" }, "AccessDeniedException"],
  ] as const)("%s → %s", async (_why, document, expected) => {
    expect(await answerTo(decrypt(document))).toBe(expected);
  });

  test("a byte after the key is not the key", async () => {
    const longer = Buffer.concat([pair.spki, Buffer.of(0)]);
    expect(await answerTo(decrypt({ publicKey: longer }))).toBe("ValidationException");
  });

  test.each([
    ["K16 not authentic", { ...RECIPIENT_ALGORITHM, AttestationDocument: utf8("random bytes") }],
    ["no document", RECIPIENT_ALGORITHM],
    ["an empty document", { ...RECIPIENT_ALGORITHM, AttestationDocument: new Uint8Array(0) }],
    ["K18 no algorithm", { AttestationDocument: fakeDocument({}) }],
    ["K18 SHA-1", { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_1", AttestationDocument: fakeDocument({}) }],
    ["K18 PKCS#1", { KeyEncryptionAlgorithm: "RSAES_PKCS1_V1_5", AttestationDocument: fakeDocument({}) }],
  ])("%s → ValidationException, before any policy is asked", async (_why, Recipient) => {
    const bare = clientOf(aws, "bare");
    const call = new DecryptCommand({ CiphertextBlob: blob, KeyId: keyArn, Recipient: Recipient as never });
    expect(await answerTo(bare.send(call))).toBe("ValidationException");
    bare.destroy();
    expect(aws.trail().at(-1)?.explanation.decision).toBeUndefined();
  });

  test("K19 without a Recipient the attested statement does not match", async () => {
    const call = new DecryptCommand({ CiphertextBlob: blob, KeyId: keyArn });
    expect(await answerTo(enclave.send(call))).toBe("AccessDeniedException");
  });

  test("authorization comes before the ciphertext", async () => {
    const call = { CiphertextBlob: utf8("nothing"), KeyId: keyArn, Recipient: recipient() };
    expect(await answerTo(enclave.send(new DecryptCommand(call)))).toBe("InvalidCiphertextException");
    const other = { ...call, Recipient: recipient({ pcrs: { 0: ZERO } }) };
    expect(await answerTo(enclave.send(new DecryptCommand(other)))).toBe("AccessDeniedException");
  });

  test("a NitroTPM's registers have condition keys of their own", async () => {
    await setPolicy({ StringEquals: { [`${R}NitroTPMPCR0`]: PCR0 } });
    expect(await answerTo(decrypt({ kind: "nitrotpm" }))).toBe("accepted");
    expect(await answerTo(decrypt())).toBe("AccessDeniedException");
  });

  test("every register of the document has a condition key", async () => {
    await setPolicy({ StringEquals: { [`${R}PCR0`]: PCR0, [`${R}PCR31`]: ZERO } });
    expect(await answerTo(decrypt({ pcrs: { 0: PCR0, 31: ZERO } }))).toBe("accepted");
    expect(await answerTo(decrypt({ pcrs: { 0: PCR0, 30: ZERO } }))).toBe("AccessDeniedException");
  });

  test("the encryption context can be demanded beside the image", async () => {
    await setPolicy({
      StringEquals: { [`${R}PCR0`]: PCR0, "kms:encryptioncontext:TENANT": "7" },
      "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["tenant"] },
    });
    const ask = (EncryptionContext: Record<string, string>) =>
      enclave.send(
        new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: "AES_256", EncryptionContext, Recipient: recipient() }),
      );
    expect(await answerTo(ask({ tenant: "7" }))).toBe("accepted");
    expect(await answerTo(ask({ tenant: "8" }))).toBe("AccessDeniedException");
    expect(await answerTo(ask({ tenant: "7", more: "x" }))).toBe("AccessDeniedException");
  });
});

describe("audit trail", () => {
  test("an attested call: digests in base64, who, which key, and never the secret", async () => {
    await decrypt({ pcrs: { 0: PCR0, 3: ZERO } });
    const { event, explanation } = aws.trail().at(-1) ?? expect.unreachable();
    expect(event).toMatchObject({
      ...{ eventSource: "kms.amazonaws.com", eventName: "Decrypt", awsRegion: "eu-central-1", readOnly: true },
      userIdentity: { type: "AssumedRole", arn: `arn:aws:sts::${OWNER}:assumed-role/enclave/i-0abc`, accountId: OWNER },
      eventTime: "2026-03-01T12:00:00Z",
      requestParameters: { keyId: keyArn, encryptionAlgorithm: "SYMMETRIC_DEFAULT" },
      responseElements: null,
      resources: [{ accountId: OWNER, type: "AWS::KMS::Key", ARN: keyArn }],
      recipientAccountId: OWNER,
      tlsDetails: { tlsVersion: "TLSv1.3" },
    });
    expect(event.additionalEventData).toEqual({
      recipient: {
        attestationDocumentModuleId: "i-0abc-enc0123",
        attestationDocumentEnclaveImageDigest: Buffer.from(PCR0, "hex").toString("base64"),
        attestationDocumentEnclavePCR3: Buffer.from(ZERO, "hex").toString("base64"),
      },
    });
    expect(explanation).toMatchObject({
      summary: 'allowed by key policy statement 1 "attested"',
      attestation: { kind: "verified", pcrs: { PCR0, PCR3: ZERO } },
    });
    const written = JSON.stringify(aws.trail());
    for (const encoding of ["utf8", "base64", "hex"] as const)
      expect(written).not.toContain(Buffer.from("secret of the enclave").toString(encoding));
  });

  test("a denied call: AccessDenied without the digests, and beside it the condition that failed", async () => {
    await expect(decrypt({ pcrs: { 0: ZERO } })).rejects.toThrow();
    const { event, explanation } = aws.trail().at(-1) ?? expect.unreachable();
    expect(event).toMatchObject({ errorCode: "AccessDenied", requestParameters: null });
    expect(event).not.toHaveProperty("additionalEventData");
    expect(explanation.decision?.nearest).toEqual({
      ...{ policy: "key policy", statement: 1, sid: "attested", stoppedAt: "condition" },
      failed: [{ operator: "StringEqualsIgnoreCase", key: `${R}ImageSha384`, expected: [PCR0], actual: [ZERO] }],
    });
  });

  test("a refused document: the verifier's reason is for the operator, not for the caller", async () => {
    const Recipient = { ...RECIPIENT_ALGORITHM, AttestationDocument: utf8("forged") };
    const call = enclave.send(new DecryptCommand({ CiphertextBlob: blob, Recipient }));
    await expect(call).rejects.toThrow(/^Failed to verify the attestation document$/);
    expect(aws.trail().at(-1)?.explanation.attestation).toMatchObject({
      kind: "refused",
      code: "ERR_ATTESTATION_SIGNATURE",
    });
  });

  test("use of another account's key is in both accounts' trails", async () => {
    await decrypt({}, partner);
    const records = aws.trail().slice(-2);
    expect(records.map(({ event }) => event.recipientAccountId)).toEqual([OTHER, OWNER]);
    const [first, second] = records.map(({ event }) => event);
    expect(first?.sharedEventID).toBe(second?.sharedEventID);
    expect(first?.sharedEventID).toMatch(/^[0-9a-f-]{36}$/);
    expect(first?.eventID).not.toBe(second?.eventID);
    expect(arnOf("partner")).toContain(OTHER);
  });
});

describe("an evil KMS behind valid TLS", () => {
  const play = (answer: FaultAnswer, times = 1) => aws.injectFault({ operation: "Decrypt", answer, times });

  test("plaintext beside the message", async () => {
    play("plaintext");
    const answer = await decrypt();
    expect(Buffer.from(answer.Plaintext ?? []).toString()).toBe("secret of the enclave");
    expect(openByOffsets(answer.CiphertextForRecipient, pair).toString("latin1")).toBe("secret of the enclave");
    expect((await decrypt()).Plaintext).toBeUndefined();
  });

  test("another key's id", async () => {
    play("foreign-key-id");
    const answer = await decrypt();
    expect(answer.KeyId).toMatch(new RegExp(`^arn:aws:kms:eu-central-1:${OWNER}:key/`));
    expect(answer.KeyId).not.toBe(keyArn);
  });

  test("a message for another RSA key, which says so", async () => {
    const honest = Buffer.from((await decrypt()).CiphertextForRecipient ?? []).subarray(33, 65);
    play("cms-for-another-key");
    const { CiphertextForRecipient } = await decrypt();
    expect(Buffer.from(CiphertextForRecipient ?? []).subarray(33, 65)).not.toEqual(honest);
    expect(() => openByOffsets(CiphertextForRecipient, pair)).toThrow();
  });

  test("a message that opens, and names another key", async () => {
    const honest = Buffer.from((await decrypt()).CiphertextForRecipient ?? []).subarray(33, 65);
    play("cms-foreign-recipient-id");
    const { CiphertextForRecipient } = await decrypt();
    expect(Buffer.from(CiphertextForRecipient ?? []).subarray(33, 65)).not.toEqual(honest);
    expect(openByOffsets(CiphertextForRecipient, pair).toString("latin1")).toBe("secret of the enclave");
  });

  test("throttling: once is retried by the SDK, twice is told", async () => {
    play("throttle");
    expect(await answerTo(decrypt())).toBe("accepted");
    play("throttle", 2);
    expect(await answerTo(decrypt())).toBe("ThrottlingException");
  });

  test("a fault waits for its operation, and counts", async () => {
    aws.injectFault({ operation: "GenerateDataKey", answer: "plaintext", times: 2 });
    expect((await decrypt()).Plaintext).toBeUndefined();
    const input = { KeyId: keyArn, KeySpec: "AES_256", Recipient: recipient() } as const;
    const seen = [];
    for (let i = 0; i < 3; i++) seen.push((await enclave.send(new GenerateDataKeyCommand(input))).Plaintext?.length);
    expect(seen).toEqual([32, 32, undefined]);
    expect(() => play("plaintext", 0)).toThrow(RangeError);
  });
});
