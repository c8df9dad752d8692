/** Imported key material: wrapped as a client wraps it, expired, deleted, brought again, rotated to. */
import { constants, createCipheriv, generateKeyPairSync, publicEncrypt, randomBytes } from "node:crypto";
import type { ImportKeyMaterialCommandInput, WrappingKeySpec } from "@aws-sdk/client-kms";
import { describe, expect, test } from "vitest";
import { fromHex, utf8 } from "../../../shared/bytes.ts";
import { shareRsaPairs } from "../rsa-pairs.ts";
import { NOW } from "../testbed.ts";
import { DAY_MS, type KmsBed, outcome, present, refusal, startKmsBed } from "./bed.ts";

const Plaintext = utf8("x");
const FOREVER = { ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE" } as const;
type Algorithm = "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256" | "RSA_AES_KEY_WRAP_SHA_1" | "RSA_AES_KEY_WRAP_SHA_256";

interface Import extends Partial<Omit<ImportKeyMaterialCommandInput, "KeyId">> {
  readonly algorithm?: Algorithm;
  readonly spec?: WrappingKeySpec;
  readonly region?: string;
}

function wrap(publicKey: Uint8Array, material: Uint8Array, algorithm: Algorithm): Uint8Array {
  const key = { key: Buffer.from(publicKey), format: "der", type: "spki" } as const;
  const oaepHash = algorithm.endsWith("256") ? "sha256" : "sha1";
  const rsa = (bytes: Uint8Array): Buffer =>
    publicEncrypt({ ...key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, bytes);
  if (algorithm.startsWith("RSAES")) return rsa(material);
  const aes = randomBytes(32);
  const cipher = createCipheriv("id-aes256-wrap-pad", aes, fromHex("a65959a6"));
  return Buffer.concat([rsa(aes), cipher.update(material), cipher.final()]);
}

async function bring(bed: KmsBed, KeyId: string, material: Uint8Array, options: Import = {}) {
  const { algorithm = "RSAES_OAEP_SHA_256", spec = "RSA_2048", region, ...input } = options;
  const kms = bed.as("admin", region);
  const asked = { KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: spec };
  const { PublicKey, ImportToken } = await kms.getParametersForImport(asked);
  const EncryptedKeyMaterial = wrap(present(PublicKey), material, algorithm);
  return kms.importKeyMaterial({ KeyId, ImportToken, EncryptedKeyMaterial, ...FOREVER, ...input });
}
async function externalKey(bed: KmsBed, input = {}): Promise<string> {
  return present((await bed.as("admin").createKey({ Origin: "EXTERNAL", ...input })).KeyMetadata?.Arn);
}
const stateOf = async (bed: KmsBed, KeyId: string, region?: string) =>
  (await bed.as("admin", region).describeKey({ KeyId })).KeyMetadata;

// The wrapping keys.
shareRsaPairs({ RSA_2048: 2, RSA_3072: 1 });

describe("a first import", () => {
  test.each([
    ["RSAES_OAEP_SHA_1", "RSA_2048"],
    ["RSAES_OAEP_SHA_256", "RSA_3072"],
    ["RSA_AES_KEY_WRAP_SHA_256", "RSA_2048"],
  ] as const)("wrapped by %s under %s, makes the key usable", async (algorithm, spec) => {
    await using bed = await startKmsBed();
    const KeyId = await externalKey(bed);
    expect(await stateOf(bed, KeyId)).toMatchObject({ KeyState: "PendingImport", Origin: "EXTERNAL", Enabled: false });
    expect(await refusal(bed.as("admin").encrypt({ KeyId, Plaintext }))).toEqual({
      name: "KMSInvalidStateException",
      message: `${KeyId} is pending import.`,
    });
    const { KeyMaterialId } = await bring(bed, KeyId, randomBytes(32), { algorithm, spec });
    const described = await stateOf(bed, KeyId);
    expect(described).toMatchObject({ KeyState: "Enabled", ...FOREVER, CurrentKeyMaterialId: KeyMaterialId });
    const { CiphertextBlob } = await bed.as("admin").encrypt({ KeyId, Plaintext });
    expect((await bed.as("admin").decrypt({ CiphertextBlob })).KeyMaterialId).toBe(KeyMaterialId);
  });

  test("of a pair and of an HMAC key", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const own = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const pkcs8 = own.privateKey.export({ format: "der", type: "pkcs8" });
    const pair = await externalKey(bed, { KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
    await bring(bed, pair, pkcs8, { algorithm: "RSA_AES_KEY_WRAP_SHA_1" });
    const { PublicKey } = await kms.getPublicKey({ KeyId: pair });
    expect(Buffer.from(present(PublicKey))).toEqual(own.publicKey.export({ format: "der", type: "spki" }));
    const mac = await externalKey(bed, { KeySpec: "HMAC_384", KeyUsage: "GENERATE_VERIFY_MAC" });
    expect(await outcome(bring(bed, mac, randomBytes(32)))).toBe("IncorrectKeyMaterialException");
    await bring(bed, mac, randomBytes(48));
    await kms.generateMac({ KeyId: mac, Message: Plaintext, MacAlgorithm: "HMAC_SHA_384" });
    const other = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
    const again = bring(bed, pair, other.export({ format: "der", type: "pkcs8" }), {
      algorithm: "RSA_AES_KEY_WRAP_SHA_1",
    });
    expect(await outcome(again)).toBe("IncorrectKeyMaterialException");
  });

  test("tokens: of another key, too old, none at all; and what was not wrapped for it", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const [KeyId, other] = [await externalKey(bed), await externalKey(bed)];
    const asked = { WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" } as const;
    const { ImportToken, PublicKey, ParametersValidTo } = await kms.getParametersForImport({ KeyId, ...asked });
    expect(ParametersValidTo).toEqual(new Date(NOW.getTime() + DAY_MS));
    const EncryptedKeyMaterial = wrap(present(PublicKey), randomBytes(32), "RSAES_OAEP_SHA_256");
    const input = { KeyId, ImportToken, EncryptedKeyMaterial, ...FOREVER };
    const found = (change: object) => outcome(kms.importKeyMaterial({ ...input, ...change }));
    expect(await found({ KeyId: other })).toBe("InvalidImportTokenException");
    expect(await found({ ImportToken: randomBytes(256) })).toBe("InvalidImportTokenException");
    expect(await found({ EncryptedKeyMaterial: randomBytes(256) })).toBe("InvalidCiphertextException");
    bed.aws.setClockOffsetMs(DAY_MS);
    expect(await found({})).toBe("ExpiredImportTokenException");
    bed.aws.setClockOffsetMs(DAY_MS - 1);
    expect(await found({})).toBe("ok");
    const plain = present((await kms.createKey({})).KeyMetadata?.Arn);
    expect(await refusal(kms.getParametersForImport({ KeyId: plain, ...asked }))).toEqual({
      name: "UnsupportedOperationException",
      message: `${plain} origin is AWS_KMS which is not valid for this operation.`,
    });
  });
});

describe("material that goes", () => {
  test("it expires, and only the same comes again; the ciphertexts open again then", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await externalKey(bed);
    const material = randomBytes(32);
    const expires = (days: number): Import => ({
      ExpirationModel: "KEY_MATERIAL_EXPIRES",
      ValidTo: new Date(NOW.getTime() + days * DAY_MS),
    });
    const { ExpirationModel } = expires(1);
    expect((await refusal(bring(bed, KeyId, material, { ExpirationModel }))).message).toBe(
      "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
    );
    for (const days of [0, 366])
      expect(await outcome(bring(bed, KeyId, material, expires(days)))).toBe("ValidationException");
    await bring(bed, KeyId, material, expires(30));
    expect(await stateOf(bed, KeyId)).toMatchObject({ ...expires(30), KeyState: "Enabled" });
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext });
    bed.aws.setClockOffsetMs(30 * DAY_MS);
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("PendingImport");
    expect(await outcome(kms.decrypt({ CiphertextBlob }))).toBe("KMSInvalidStateException");
    expect(await outcome(bring(bed, KeyId, randomBytes(32)))).toBe("IncorrectKeyMaterialException");
    await bring(bed, KeyId, material);
    expect((await kms.decrypt({ CiphertextBlob })).Plaintext).toEqual(Uint8Array.from(Plaintext));
    expect(await stateOf(bed, KeyId)).not.toHaveProperty("ValidTo");
  });

  test("it is deleted, also of a key that is going", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await externalKey(bed);
    const material = randomBytes(32);
    const { KeyMaterialId } = await bring(bed, KeyId, material);
    expect(await kms.deleteImportedKeyMaterial({ KeyId })).toMatchObject({ KeyId, KeyMaterialId });
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("PendingImport");
    await bring(bed, KeyId, material);
    await kms.scheduleKeyDeletion({ KeyId });
    await kms.deleteImportedKeyMaterial({ KeyId });
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("PendingDeletion");
    await kms.cancelKeyDeletion({ KeyId });
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("PendingImport");
  });
});

describe("several materials", () => {
  test("a new one waits, alone, until it is rotated to; without any one of them the key is not usable", async () => {
    await using bed = await startKmsBed();
    const kms = bed.as("admin");
    const KeyId = await externalKey(bed);
    const [first, second] = [randomBytes(32), randomBytes(32)];
    const NEW = { ImportType: "NEW_KEY_MATERIAL" } as const;
    const { KeyMaterialId: firstId } = await bring(bed, KeyId, first);
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext });
    expect(await refusal(kms.rotateKeyOnDemand({ KeyId }))).toMatchObject({ name: "KMSInvalidStateException" });
    await bring(bed, KeyId, randomBytes(32), NEW);
    expect(await outcome(bring(bed, KeyId, second, NEW))).toBe("KMSInvalidStateException");
    const { Rotations } = await kms.listKeyRotations({ KeyId, IncludeKeyMaterial: "ALL_KEY_MATERIAL" });
    expect(Rotations?.map(({ KeyMaterialState }) => KeyMaterialState)).toEqual(["CURRENT", "PENDING_ROTATION"]);
    // What waits is not the key's for good: it goes, and another comes.
    await kms.deleteImportedKeyMaterial({ KeyId, KeyMaterialId: Rotations?.at(-1)?.KeyMaterialId });
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("Enabled");
    const { KeyMaterialId: secondId } = await bring(bed, KeyId, second, { ...NEW, KeyMaterialDescription: "2nd" });
    await kms.rotateKeyOnDemand({ KeyId });
    expect((await stateOf(bed, KeyId))?.CurrentKeyMaterialId).toBe(secondId);
    expect((await kms.decrypt({ CiphertextBlob })).KeyMaterialId).toBe(firstId);
    await kms.deleteImportedKeyMaterial({ KeyId, KeyMaterialId: firstId });
    expect((await stateOf(bed, KeyId))?.KeyState).toBe("PendingImport");
    expect(await outcome(kms.encrypt({ KeyId, Plaintext }))).toBe("KMSInvalidStateException");
    await bring(bed, KeyId, first, { KeyMaterialId: firstId });
    await kms.encrypt({ KeyId, Plaintext });
  });
});

test("a multi-Region key's material is brought to each Region, and to the primary first", async () => {
  await using bed = await startKmsBed();
  const kms = bed.as("admin");
  const region = "us-east-1";
  const KeyId = await externalKey(bed, { MultiRegion: true });
  const replica = KeyId.replace("eu-central-1", region);
  expect(await outcome(kms.replicateKey({ KeyId, ReplicaRegion: region }))).toBe("KMSInvalidStateException");
  const [first, second] = [randomBytes(32), randomBytes(32)];
  await bring(bed, KeyId, first);
  await kms.replicateKey({ KeyId, ReplicaRegion: region });
  expect((await stateOf(bed, replica, region))?.KeyState).toBe("PendingImport");
  expect(await outcome(bring(bed, replica, second, { region }))).toBe("IncorrectKeyMaterialException");
  await bring(bed, replica, first, { region });
  const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext });
  await bed.as("admin", region).decrypt({ CiphertextBlob });
  await bring(bed, KeyId, second, { ImportType: "NEW_KEY_MATERIAL" });
  const waiting = async () =>
    (await kms.listKeyRotations({ KeyId, IncludeKeyMaterial: "ALL_KEY_MATERIAL" })).Rotations?.at(-1)?.KeyMaterialState;
  expect(await waiting()).toBe("PENDING_MULTI_REGION_IMPORT_AND_ROTATION");
  expect(await outcome(kms.rotateKeyOnDemand({ KeyId }))).toBe("KMSInvalidStateException");
  await bring(bed, replica, second, { region, ImportType: "EXISTING_KEY_MATERIAL" });
  expect(await waiting()).toBe("PENDING_ROTATION");
  await kms.rotateKeyOnDemand({ KeyId });
  const current = (await stateOf(bed, replica, region))?.CurrentKeyMaterialId;
  expect(current).toBe((await stateOf(bed, KeyId))?.CurrentKeyMaterialId);
});
