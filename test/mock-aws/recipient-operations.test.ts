/** Rows K16–K19 and K24 on each of the five operations that can answer an enclave. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import {
  CreateKeyCommand,
  DecryptCommand,
  DeriveSharedSecretCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyPairCommand,
  GenerateRandomCommand,
  GetPublicKeyCommand,
  type KMSClient,
  type RecipientInfo,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { verifyRecipient } from "../../mock/aws/kms/recipient.ts";
import { newAudit } from "../../mock/aws/trail.ts";
import { utf8 } from "../../shared/bytes.ts";
import { AttestationError } from "../../shared/errors/index.ts";
import {
  allow,
  answerTo,
  clientOf,
  type FakeDocument,
  fakeDocument,
  identities,
  NOW,
  OWNER,
  openByOffsets,
  PCR0,
  RECIPIENT_ALGORITHM,
  recipientOf,
  rsaPair,
  startTestbed,
  ZERO,
} from "./testbed.ts";

const OPERATIONS = [
  "Decrypt",
  "GenerateDataKey",
  "GenerateDataKeyPair",
  "GenerateRandom",
  "DeriveSharedSecret",
] as const;
type Operation = (typeof OPERATIONS)[number];
const MEMBERS = {
  Decrypt: "Plaintext",
  GenerateDataKey: "Plaintext",
  GenerateDataKeyPair: "PrivateKeyPlaintext",
  GenerateRandom: "Plaintext",
  DeriveSharedSecret: "SharedSecret",
} as const;

const pair = rsaPair();
const mine = generateKeyPairSync("ec", { namedCurve: "P-256" });
let aws: MockAws;
let admin: KMSClient;
let enclave: KMSClient;
let keyArn: string;
let agreementArn: string;
let blob: Uint8Array;

/** Role `enclave` may do all of KMS, attested as the image; conditions of IAM policies hold for every operation. */
beforeAll(async () => {
  const attested = { StringEqualsIgnoreCase: { "kms:RecipientAttestation:PCR0": PCR0 } };
  const ofEnclave = {
    Version: "2012-10-17" as const,
    Statement: [{ Effect: "Allow" as const, Action: "kms:*", Resource: "*", Condition: attested }],
  };
  const role = (name: "admin" | "enclave", policy: ReturnType<typeof allow>) => ({
    ...{ type: "role" as const, name, identityPolicies: [policy], credentials: [identities[name]] },
  });
  const principals = [role("admin", allow("kms:*")), role("enclave", ofEnclave)];
  aws = await startTestbed({ accounts: [{ accountId: OWNER, principals }] });
  [admin, enclave] = [clientOf(aws, "admin"), clientOf(aws, "enclave")];
  const make = async (input: object): Promise<string> =>
    (await admin.send(new CreateKeyCommand(input))).KeyMetadata?.Arn ?? expect.unreachable();
  keyArn = await make({});
  agreementArn = await make({ KeySpec: "ECC_NIST_P256", KeyUsage: "KEY_AGREEMENT" });
  const sealed = await admin.send(new EncryptCommand({ KeyId: keyArn, Plaintext: utf8("secret") }));
  blob = sealed.CiphertextBlob ?? expect.unreachable();
});
afterAll(async () => {
  for (const client of [admin, enclave]) client.destroy();
  await aws.close();
});

type Answer = Readonly<Record<string, unknown>>;

async function ask(operation: Operation, Recipient: RecipientInfo | undefined, client = enclave): Promise<Answer> {
  const given = Recipient ? { Recipient } : {};
  const publicKey = mine.publicKey.export({ format: "der", type: "spki" });
  const calls: Record<Operation, () => Promise<object>> = {
    Decrypt: () => client.send(new DecryptCommand({ KeyId: keyArn, CiphertextBlob: blob, ...given })),
    GenerateDataKey: () => client.send(new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: "AES_256", ...given })),
    GenerateDataKeyPair: () =>
      client.send(new GenerateDataKeyPairCommand({ KeyId: keyArn, KeyPairSpec: "ECC_NIST_P256", ...given })),
    GenerateRandom: () => client.send(new GenerateRandomCommand({ NumberOfBytes: 24, ...given })),
    DeriveSharedSecret: () =>
      client.send(
        new DeriveSharedSecretCommand({
          ...{ KeyId: agreementArn, KeyAgreementAlgorithm: "ECDH", PublicKey: publicKey, ...given },
        }),
      ),
  };
  return (await calls[operation]()) as Answer;
}

const attestedBy = (document?: FakeDocument): RecipientInfo => recipientOf(pair, document);
const open = (message: unknown): Buffer => openByOffsets(message as Uint8Array, pair);

describe.each(OPERATIONS)("%s", (operation) => {
  const member = MEMBERS[operation];

  test("the secret is in the message, its own member is not in the answer, all else is", async () => {
    const [attested, plain] = [await ask(operation, attestedBy()), await ask(operation, undefined, admin)];
    expect(plain[member]).toBeInstanceOf(Uint8Array);
    expect(plain["CiphertextForRecipient"]).toBeUndefined();
    const names = (answer: Answer): string[] => Object.keys(answer).filter((name) => answer[name] !== undefined);
    const expected = names(plain).map((name) => (name === member ? "CiphertextForRecipient" : name));
    expect(names(attested).sort()).toEqual(expected.sort());
    expect(open(attested["CiphertextForRecipient"]).length).toBe((plain[member] as Uint8Array).length);
  });

  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "der", type: "spki" });
  const pem = utf8(
    createPublicKey({ key: Buffer.from(pair.spki), format: "der", type: "spki" })
      .export({ format: "pem", type: "spki" })
      .toString(),
  );
  const pkcs1 = createPublicKey({ key: Buffer.from(pair.spki), format: "der", type: "spki" }).export({
    format: "der",
    type: "pkcs1",
  });
  test.each([
    ["K16: older than five minutes", { ageMs: 300_001 }, "ValidationException"],
    ["K16: five minutes old", { ageMs: 300_000 }, "accepted"],
    ["K16: from an hour ahead", { ageMs: -3_600_000 }, "ValidationException"],
    ["K16: of a debug enclave", { pcrs: { 0: ZERO } }, "AccessDeniedException"],
    ["K17: without a public_key", { publicKey: undefined }, "ValidationException"],
    ["K17: with RSA-1024", { publicKey: rsaPair(1024).spki }, "ValidationException"],
    ["K17: with an EC key", { publicKey: ec }, "ValidationException"],
    ["K17: with the right key as PEM", { publicKey: pem }, "ValidationException"],
    ["K17: with the right key as PKCS #1", { publicKey: pkcs1 }, "ValidationException"],
    ["K24: of a NitroTPM with the value in its own register", { kind: "nitrotpm" }, "AccessDeniedException"],
  ] as const)("a document %s → %s", async (_why, document, expected) => {
    expect(await answerTo(ask(operation, attestedBy(document)))).toBe(expected);
  });

  const document = { AttestationDocument: fakeDocument({ publicKey: pair.spki }) };
  test.each([
    ["K16: a signature that is none", { ...RECIPIENT_ALGORITHM, AttestationDocument: utf8("forged") }],
    ["K18: no algorithm", document],
    ["K18: SHA-1", { ...document, KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_1" }],
    ["K18: PKCS #1 v1.5", { ...document, KeyEncryptionAlgorithm: "RSAES_PKCS1_V1_5" }],
    ["no document", RECIPIENT_ALGORITHM],
  ])("%s → ValidationException", async (_why, given) => {
    expect(await answerTo(ask(operation, given as RecipientInfo))).toBe("ValidationException");
  });

  test("K19: a policy that names PCR0, and no Recipient → AccessDeniedException", async () => {
    expect(await answerTo(ask(operation, undefined))).toBe("AccessDeniedException");
    expect(await answerTo(ask(operation, attestedBy()))).toBe("accepted");
  });
});

describe("the secret is the one that it should be", () => {
  test("Decrypt", async () => {
    expect(open((await ask("Decrypt", attestedBy()))["CiphertextForRecipient"]).toString()).toBe("secret");
  });

  test("GenerateDataKey: what its blob holds", async () => {
    const answer = await ask("GenerateDataKey", attestedBy());
    const opened = await admin.send(new DecryptCommand({ CiphertextBlob: answer["CiphertextBlob"] as Uint8Array }));
    expect(open(answer["CiphertextForRecipient"])).toEqual(Buffer.from(opened.Plaintext ?? []));
  });

  test("GenerateDataKeyPair: the private half of its public key", async () => {
    const answer = await ask("GenerateDataKeyPair", attestedBy());
    const key = createPrivateKey({ key: open(answer["CiphertextForRecipient"]), format: "der", type: "pkcs8" });
    const own = createPublicKey(key).export({ format: "der", type: "spki" });
    expect(own).toEqual(Buffer.from(answer["PublicKey"] as Uint8Array));
  });

  test("DeriveSharedSecret: what the other side derives", async () => {
    const { PublicKey: der = new Uint8Array(0) } = await admin.send(new GetPublicKeyCommand({ KeyId: agreementArn }));
    const theirs = createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
    const expected = diffieHellman({ privateKey: mine.privateKey, publicKey: theirs });
    expect(open((await ask("DeriveSharedSecret", attestedBy()))["CiphertextForRecipient"])).toEqual(expected);
  });
});

describe("a document from a clock that is ahead", () => {
  const verdictOf = async (aheadMs: number, maxDocumentFutureMs?: number): Promise<string> => {
    const audit = newAudit();
    const claims = { kind: "nsm", moduleId: "i-0abc-enc0123", pcrs: new Map(), publicKey: pair.spki } as const;
    const verifyDocument = async () => ({ ...claims, timestamp: new Date(NOW.getTime() + aheadMs) });
    const rules = {
      verifyDocument,
      maxDocumentAgeMs: 300_000,
      ...(maxDocumentFutureMs === undefined ? {} : { maxDocumentFutureMs }),
    };
    const verified = verifyRecipient(attestedBy(), rules, NOW, audit);
    return verified.then(
      () => "accepted",
      () => (audit.attestation.kind === "refused" ? audit.attestation.code : "?"),
    );
  };
  test.each([
    [0, undefined, "accepted"],
    [1, undefined, "ERR_ATTESTATION_TIMESTAMP"],
    [1_000, 1_000, "accepted"],
    [1_001, 1_000, "ERR_ATTESTATION_TIMESTAMP"],
  ] as const)("K16: %i ms ahead where %s ms are accepted → %s", async (aheadMs, maxDocumentFutureMs, expected) => {
    expect(await verdictOf(aheadMs, maxDocumentFutureMs)).toBe(expected);
  });

  test("what the verifier does not refuse as such is no refusal", async () => {
    const broken = async (): Promise<never> => Promise.reject(new TypeError("a bug"));
    const rules = { verifyDocument: broken, maxDocumentAgeMs: 300_000 };
    await expect(verifyRecipient(attestedBy(), rules, NOW, newAudit())).rejects.toThrow(TypeError);
    const refusing = async (): Promise<never> => Promise.reject(new AttestationError("ERR_ATTESTATION_SIGNATURE", {}));
    const refused = verifyRecipient(attestedBy(), { ...rules, verifyDocument: refusing }, NOW, newAudit());
    await expect(refused).rejects.toMatchObject({ error: "ValidationException", status: 400 });
  });
});
