/** What a key makes: data keys, key pairs, random bytes, signatures, codes, shared secrets. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, verify } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { bedOfFile, outcome, present, refusal } from "./bed.ts";

const { admin, bare, newKey } = bedOfFile();
let KeyId: string;
const der = (bytes: Uint8Array | undefined) => Buffer.from(present(bytes));
const EncryptionContext = { a: "b" };

beforeAll(async () => {
  KeyId = await newKey();
});

describe("data keys", () => {
  test.each([
    [{ KeySpec: "AES_256" }, 32, 184],
    [{ KeySpec: "AES_128" }, 16, 168],
    [{ NumberOfBytes: 1 }, 1, 153],
    [{ NumberOfBytes: 1024 }, 1024, undefined],
  ] as const)("%o gives %i bytes", async (size, bytes, blobBytes) => {
    const made = await admin().generateDataKey({ KeyId, EncryptionContext, ...size });
    expect(made.Plaintext?.length).toBe(bytes);
    if (blobBytes !== undefined) expect(made.CiphertextBlob?.length).toBe(blobBytes);
    const opened = await admin().decrypt({ CiphertextBlob: made.CiphertextBlob, EncryptionContext });
    expect([opened.Plaintext, opened.KeyMaterialId]).toEqual([made.Plaintext, made.KeyMaterialId]);
    const without = await admin().generateDataKeyWithoutPlaintext({ KeyId, EncryptionContext, ...size });
    expect(without).not.toHaveProperty("Plaintext");
    const { Plaintext } = await admin().decrypt({ CiphertextBlob: without.CiphertextBlob, EncryptionContext });
    expect(Plaintext?.length).toBe(bytes);
    expect(Plaintext).not.toEqual(made.Plaintext);
  });

  const constraint = (value: string, rule: string): string =>
    `1 validation error detected: Value '${value}' at 'numberOfBytes' failed to satisfy constraint: Member must have value ${rule}`;
  test.each([
    ["no size", {}, "Please specify either number of bytes or key spec."],
    ["two sizes", { KeySpec: "AES_256", NumberOfBytes: 32 }, "Please specify either number of bytes or key spec."],
    ["0 bytes", { NumberOfBytes: 0 }, constraint("0", "greater than or equal to 1")],
    ["1025 bytes", { NumberOfBytes: 1025 }, constraint("1025", "less than or equal to 1024")],
  ] as const)("K42: %s", async (_why, size, message) => {
    expect(await refusal(admin().generateDataKey({ KeyId, ...size }))).toEqual({
      name: "ValidationException",
      message,
    });
  });

  test("K34: only a symmetric encryption key makes them", async () => {
    const rsa = await newKey({ KeySpec: "RSA_2048", KeyUsage: "ENCRYPT_DECRYPT" });
    const asked = { KeyId: rsa, KeySpec: "AES_256" } as const;
    expect(await outcome(admin().generateDataKey(asked))).toBe("InvalidKeyUsageException");
  });

  test.each(["ECC_NIST_P256", "ECC_SECG_P256K1", "RSA_2048"] as const)("a pair of spec %s", async (KeyPairSpec) => {
    const pair = await admin().generateDataKeyPair({ KeyId, KeyPairSpec, EncryptionContext });
    const publicKey = createPublicKey(
      createPrivateKey({ key: der(pair.PrivateKeyPlaintext), format: "der", type: "pkcs8" }),
    );
    expect(publicKey.export({ format: "der", type: "spki" })).toEqual(der(pair.PublicKey));
    const CiphertextBlob = pair.PrivateKeyCiphertextBlob;
    const opened = await admin().decrypt({ CiphertextBlob, EncryptionContext });
    expect(opened.Plaintext).toEqual(pair.PrivateKeyPlaintext);
    expect(pair).toMatchObject({ KeyId, KeyPairSpec, KeyMaterialId: opened.KeyMaterialId });
    const without = await admin().generateDataKeyPairWithoutPlaintext({ KeyId, KeyPairSpec });
    expect(without).not.toHaveProperty("PrivateKeyPlaintext");
    expect(await outcome(admin().decrypt({ CiphertextBlob: without.PrivateKeyCiphertextBlob }))).toBe("ok");
  });

  test("K43: dry runs", async () => {
    const DryRun = true;
    for (const call of [
      admin().generateDataKey({ KeyId, KeySpec: "AES_256", DryRun }),
      admin().generateDataKeyWithoutPlaintext({ KeyId, KeySpec: "AES_256", DryRun }),
      admin().generateDataKeyPair({ KeyId, KeyPairSpec: "ECC_NIST_P256", DryRun }),
      admin().generateDataKeyPairWithoutPlaintext({ KeyId, KeyPairSpec: "ECC_NIST_P256", DryRun }),
    ])
      expect(await outcome(call)).toBe("DryRunOperationException");
  });
});

test("random bytes, as many as asked for; K42: between 1 and 1024", async () => {
  const ask = async (NumberOfBytes: number) => (await admin().generateRandom({ NumberOfBytes })).Plaintext;
  expect([(await ask(1))?.length, (await ask(1024))?.length]).toEqual([1, 1024]);
  expect(await ask(32)).not.toEqual(await ask(32));
  for (const NumberOfBytes of [0, 1025])
    expect(await outcome(admin().generateRandom({ NumberOfBytes }))).toBe("ValidationException");
  expect((await refusal(admin().generateRandom({}))).message).toBe("NumberOfBytes is required.");
  expect(await outcome(bare().generateRandom({ NumberOfBytes: 1 }))).toBe("AccessDeniedException");
});

describe("signatures", () => {
  const Message = utf8("a message");

  test("verify outside and inside; another message does not", async () => {
    const id = await newKey({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
    const asked = { KeyId: id, Message, SigningAlgorithm: "ECDSA_SHA_256" } as const;
    const { Signature } = await admin().sign(asked);
    const { PublicKey, KeySpec, SigningAlgorithms } = await admin().getPublicKey({ KeyId: id });
    expect([KeySpec, SigningAlgorithms]).toEqual(["ECC_NIST_P256", ["ECDSA_SHA_256"]]);
    const key = createPublicKey({ key: der(PublicKey), format: "der", type: "spki" });
    expect(verify("sha256", Message, key, present(Signature))).toBe(true);
    expect(await admin().verify({ ...asked, Signature })).toMatchObject({ SignatureValid: true, KeyId: id });
    const other = admin().verify({ ...asked, Signature, Message: utf8("another") });
    expect(await outcome(other)).toBe("KMSInvalidSignatureException");
    for (const call of [
      admin().sign({ ...asked, DryRun: true }),
      admin().verify({ ...asked, Signature, DryRun: true }),
    ])
      expect(await outcome(call)).toBe("DryRunOperationException");
    expect(await outcome(admin().encrypt({ KeyId: id, Plaintext: Message }))).toBe("InvalidKeyUsageException");
  });

  test("policies can ask for the algorithm and the kind of message", async () => {
    const Policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        { Effect: "Allow", Principal: "*", Action: "kms:*", Resource: "*" },
        {
          Effect: "Deny",
          Principal: "*",
          Action: "kms:Sign",
          Resource: "*",
          Condition: { StringEquals: { "kms:MessageType": "DIGEST" } },
        },
        {
          Effect: "Deny",
          Principal: "*",
          Action: "kms:Sign",
          Resource: "*",
          Condition: { StringEquals: { "kms:SigningAlgorithm": "RSASSA_PSS_SHA_512" } },
        },
      ],
    });
    const id = await newKey({ KeySpec: "RSA_2048", KeyUsage: "SIGN_VERIFY", Policy });
    const sign = (SigningAlgorithm: "RSASSA_PSS_SHA_256" | "RSASSA_PSS_SHA_512", MessageType: "RAW" | "DIGEST") =>
      outcome(admin().sign({ KeyId: id, Message: new Uint8Array(32), SigningAlgorithm, MessageType }));
    expect(await sign("RSASSA_PSS_SHA_256", "RAW")).toBe("ok");
    expect(await sign("RSASSA_PSS_SHA_256", "DIGEST")).toBe("AccessDeniedException");
    expect(await sign("RSASSA_PSS_SHA_512", "RAW")).toBe("AccessDeniedException");
  });
});

test("codes are the same for the same message, and checked", async () => {
  const id = await newKey({ KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" });
  const asked = { KeyId: id, Message: utf8("m"), MacAlgorithm: "HMAC_SHA_256" } as const;
  const { Mac } = await admin().generateMac(asked);
  expect(Mac?.length).toBe(32);
  expect((await admin().generateMac(asked)).Mac).toEqual(Mac);
  expect((await admin().verifyMac({ ...asked, Mac })).MacValid).toBe(true);
  expect(await outcome(admin().verifyMac({ ...asked, Mac: new Uint8Array(32) }))).toBe("KMSInvalidMacException");
  for (const call of [
    admin().generateMac({ ...asked, DryRun: true }),
    admin().verifyMac({ ...asked, Mac, DryRun: true }),
  ])
    expect(await outcome(call)).toBe("DryRunOperationException");
});

test("a shared secret is the one that the other side computes", async () => {
  const id = await newKey({ KeySpec: "ECC_NIST_P384", KeyUsage: "KEY_AGREEMENT" });
  const own = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
  const PublicKey = own.publicKey.export({ format: "der", type: "spki" });
  const asked = { KeyId: id, KeyAgreementAlgorithm: "ECDH", PublicKey } as const;
  const { SharedSecret, KeyOrigin } = await admin().deriveSharedSecret(asked);
  const theirs = await admin().getPublicKey({ KeyId: id });
  const publicKey = createPublicKey({ key: der(theirs.PublicKey), format: "der", type: "spki" });
  expect(der(SharedSecret)).toEqual(diffieHellman({ privateKey: own.privateKey, publicKey }));
  expect(KeyOrigin).toBe("AWS_KMS");
  expect(await outcome(admin().deriveSharedSecret({ ...asked, DryRun: true }))).toBe("DryRunOperationException");
  const curve = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).publicKey.export({
    format: "der",
    type: "spki",
  });
  expect(await outcome(admin().deriveSharedSecret({ ...asked, PublicKey: curve }))).toBe("ValidationException");
});
