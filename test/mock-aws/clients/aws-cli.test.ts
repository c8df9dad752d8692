/**
 * The emulator's KMS and STS as AWS's own command line drives them, family by family. What comes back is checked with
 * Node's cryptography; the CLI is told of the emulator by `--endpoint-url` and AWS_CA_BUNDLE only.
 */
import {
  constants,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  verify,
} from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeServerIdentity } from "../../../mock/aws/certificates.ts";
import { type Cli, type Environment, type Output, type Parameters, startCli } from "./aws-cli.ts";
import { ACCOUNT, hasClients, REGION, type World } from "./world.ts";

let cli: Cli;
const call: Cli["call"] = (...given) => cli.call(...given);
const refusal: Cli["refusal"] = (...given) => cli.refusal(...given);
const fileOf: Cli["fileOf"] = (bytes) => cli.fileOf(bytes);
const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64");
const bytesOf = (value: unknown): Buffer => Buffer.from(String(value), "base64");

async function newKey(parameters: Parameters = {}): Promise<string> {
  const { KeyMetadata: key } = await call("kms create-key", parameters);
  return (key as { Arn: string }).Arn;
}

async function stateOf(keyId: string): Promise<string> {
  const { KeyMetadata: key } = await call("kms describe-key", { keyId });
  return (key as { KeyState: string }).KeyState;
}

async function publicKeyOf(keyId: string): Promise<KeyObject> {
  const { PublicKey: der } = await call("kms get-public-key", { keyId });
  return createPublicKey({ key: bytesOf(der), format: "der", type: "spki" });
}

async function importInto(keyId: string, material: Uint8Array): Promise<void> {
  const wrapping = { wrappingAlgorithm: "RSAES_OAEP_SHA_256", wrappingKeySpec: "RSA_2048" };
  const given = await call("kms get-parameters-for-import", { keyId, ...wrapping });
  const key = createPublicKey({ key: bytesOf(given["PublicKey"]), format: "der", type: "spki" });
  const sealed = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, material);
  await call("kms import-key-material", {
    ...{ keyId, importToken: fileOf(bytesOf(given["ImportToken"])), encryptedKeyMaterial: fileOf(sealed) },
    expirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE",
  });
}

const families: Readonly<Record<string, () => Promise<void>>> = {
  keys: async () => {
    const tags = [{ TagKey: "team", TagValue: "blue" }];
    const { KeyMetadata: key } = await call("kms create-key", { description: "one", tags });
    const { Arn: arn, KeyId: keyId } = key as { Arn: string; KeyId: string };
    expect(arn).toBe(`arn:aws:kms:${REGION}:${ACCOUNT}:key/${keyId}`);
    const { Keys: keys } = await call("kms list-keys", { pageSize: 2 });
    expect(keys).toContainEqual({ KeyId: keyId, KeyArn: arn });
    await call("kms disable-key", { keyId });
    expect(await refusal("kms encrypt", { keyId, plaintext: fileOf(Buffer.of(1)) })).toBe("DisabledException");
    await call("kms enable-key", { keyId });
    expect(await stateOf(keyId)).toBe("Enabled");
    expect((await call("kms list-resource-tags", { keyId }))["Tags"]).toEqual(tags);
    await call("kms untag-resource", { keyId, tagKeys: "team" });
    expect((await call("kms list-resource-tags", { keyId }))["Tags"]).toEqual([]);
  },
  aliases: async () => {
    const [first, second] = [await newKey(), await newKey()];
    await call("kms create-alias", { aliasName: "alias/cli", targetKeyId: first });
    await call("kms update-alias", { aliasName: "alias/cli", targetKeyId: second });
    const { Aliases: aliases } = await call("kms list-aliases", { keyId: second });
    expect(aliases).toMatchObject([{ AliasName: "alias/cli", TargetKeyId: second.split("/")[1] }]);
    await call("kms delete-alias", { aliasName: "alias/cli" });
    expect(await refusal("kms describe-key", { keyId: "alias/cli" })).toBe("NotFoundException");
  },
  policies: async () => {
    const keyId = await newKey();
    const { Policy: text } = await call("kms get-key-policy", { keyId, policyName: "default" });
    const policy = JSON.parse(String(text)) as { Statement: object[] };
    const deny = { Sid: "no", Effect: "Deny", Principal: "*", Action: "kms:Encrypt", Resource: "*" };
    const changed = { ...policy, Statement: [...policy.Statement, deny] };
    await call("kms put-key-policy", { keyId, policyName: "default", policy: changed });
    expect((await call("kms list-key-policies", { keyId }))["PolicyNames"]).toEqual(["default"]);
    expect(await refusal("kms encrypt", { keyId, plaintext: fileOf(Buffer.of(1)) })).toBe("AccessDeniedException");
  },
  grants: async () => {
    const keyId = await newKey();
    const { CiphertextBlob: blob } = await call("kms encrypt", { keyId, plaintext: fileOf(Buffer.from("granted")) });
    const bare = await sessionOf("bare");
    const ask = { keyId, ciphertextBlob: fileOf(bytesOf(blob)) };
    expect(await refusal("kms decrypt", ask, bare)).toBe("AccessDeniedException");
    const grantee = { granteePrincipal: cli.world.roles.bare, operations: "Decrypt" };
    const { GrantId: grantId, GrantToken: token } = await call("kms create-grant", { keyId, ...grantee });
    const opened = await call("kms decrypt", { ...ask, grantTokens: String(token) }, bare);
    expect(opened["Plaintext"]).toBe(base64("granted"));
    expect((await call("kms list-grants", { keyId }))["Grants"]).toMatchObject([{ GrantId: grantId }]);
    await call("kms revoke-grant", { keyId, grantId: String(grantId) });
    expect(await refusal("kms decrypt", ask, bare)).toBe("AccessDeniedException");
  },
  encryption: async () => {
    const [keyId, other] = [await newKey(), await newKey()];
    const encryptionContext = { tenant: "7" };
    const sealed = await call("kms encrypt", { keyId, encryptionContext, plaintext: fileOf(Buffer.from("secret")) });
    const ciphertextBlob = fileOf(bytesOf(sealed["CiphertextBlob"]));
    expect((await call("kms decrypt", { ciphertextBlob, encryptionContext }))["Plaintext"]).toBe(base64("secret"));
    expect(await refusal("kms decrypt", { ciphertextBlob })).toBe("InvalidCiphertextException");
    const moved = await call("kms re-encrypt", {
      ...{ ciphertextBlob, sourceEncryptionContext: encryptionContext, destinationKeyId: other },
    });
    const opened = await call("kms decrypt", { ciphertextBlob: fileOf(bytesOf(moved["CiphertextBlob"])) });
    expect(opened).toMatchObject({ KeyId: other, Plaintext: base64("secret") });
    const dryRun = { keyId, plaintext: fileOf(Buffer.of(1)), dryRun: true };
    expect(await refusal("kms encrypt", dryRun)).toBe("DryRunOperationException");
  },
  "data keys": async () => {
    const keyId = await newKey();
    const made = await call("kms generate-data-key", { keyId, keySpec: "AES_256" });
    expect(bytesOf(made["Plaintext"]).length).toBe(32);
    const ciphertextBlob = fileOf(bytesOf(made["CiphertextBlob"]));
    expect((await call("kms decrypt", { ciphertextBlob }))["Plaintext"]).toBe(made["Plaintext"]);
    const hidden = await call("kms generate-data-key-without-plaintext", { keyId, keySpec: "AES_128" });
    expect(hidden).not.toHaveProperty("Plaintext");
    const pair = await call("kms generate-data-key-pair", { keyId, keyPairSpec: "ECC_NIST_P256" });
    expect(pair).toMatchObject({ KeyPairSpec: "ECC_NIST_P256", KeyId: keyId });
    const random = await call("kms generate-random", { numberOfBytes: 100 });
    expect(bytesOf(random["Plaintext"]).length).toBe(100);
  },
  signatures: async () => {
    const message = Buffer.from("signed");
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    for (const [keySpec, signingAlgorithm, hash, options] of [
      ["RSA_2048", "RSASSA_PSS_SHA_256", "sha256", pss],
      ["ECC_NIST_P384", "ECDSA_SHA_384", "sha384", {}],
      ["ECC_NIST_EDWARDS25519", "ED25519_SHA_512", null, {}],
    ] as const) {
      const keyId = await newKey({ keySpec, keyUsage: "SIGN_VERIFY" });
      const ask = { keyId, signingAlgorithm, messageType: "RAW" };
      const { Signature: signature } = await call("kms sign", { ...ask, message: fileOf(message) });
      expect(verify(hash, message, { key: await publicKeyOf(keyId), ...options }, bytesOf(signature))).toBe(true);
      const given = { ...ask, signature: fileOf(bytesOf(signature)) };
      expect((await call("kms verify", { ...given, message: fileOf(message) }))["SignatureValid"]).toBe(true);
      const other = { ...given, message: fileOf(Buffer.from("other")) };
      expect(await refusal("kms verify", other)).toBe("KMSInvalidSignatureException");
    }
  },
  "macs and imports": async () => {
    const [keyId, secret] = [
      await newKey({ keySpec: "HMAC_256", keyUsage: "GENERATE_VERIFY_MAC", origin: "EXTERNAL" }),
      randomBytes(32),
    ];
    expect(await stateOf(keyId)).toBe("PendingImport");
    await importInto(keyId, secret);
    const ask = { keyId, macAlgorithm: "HMAC_SHA_256", message: fileOf(Buffer.from("message")) };
    const { Mac: mac } = await call("kms generate-mac", ask);
    expect(mac).toBe(createHmac("sha256", secret).update("message").digest("base64"));
    expect((await call("kms verify-mac", { ...ask, mac: fileOf(bytesOf(mac)) }))["MacValid"]).toBe(true);
    expect(await refusal("kms verify-mac", { ...ask, mac: fileOf(Buffer.alloc(32)) })).toBe("KMSInvalidMacException");
    await call("kms delete-imported-key-material", { keyId });
    expect(await refusal("kms generate-mac", ask)).toBe("KMSInvalidStateException");
  },
  agreement: async () => {
    const keyId = await newKey({ keySpec: "ECC_NIST_P256", keyUsage: "KEY_AGREEMENT" });
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const mine = fileOf(publicKey.export({ format: "der", type: "spki" }));
    const ask = { keyId, keyAgreementAlgorithm: "ECDH", publicKey: mine };
    const { SharedSecret: secret } = await call("kms derive-shared-secret", ask);
    expect(bytesOf(secret)).toEqual(diffieHellman({ privateKey, publicKey: await publicKeyOf(keyId) }));
  },
  rotation: async () => {
    const keyId = await newKey();
    const { CiphertextBlob: old } = await call("kms encrypt", { keyId, plaintext: fileOf(Buffer.from("old")) });
    await call("kms enable-key-rotation", { keyId, rotationPeriodInDays: 100 });
    await call("kms rotate-key-on-demand", { keyId });
    const status = await call("kms get-key-rotation-status", { keyId });
    expect(status).toMatchObject({ KeyRotationEnabled: true, RotationPeriodInDays: 100 });
    expect((await call("kms list-key-rotations", { keyId }))["Rotations"]).toMatchObject([
      { RotationType: "ON_DEMAND" },
    ]);
    const opened = await call("kms decrypt", { ciphertextBlob: fileOf(bytesOf(old)) });
    expect(opened["Plaintext"]).toBe(base64("old"));
  },
  "several Regions": async () => {
    const keyId = await newKey({ multiRegion: true });
    const { ReplicaKeyMetadata: made } = await call("kms replicate-key", { keyId, replicaRegion: "us-east-1" });
    const replica = (made as { Arn: string }).Arn;
    expect(replica).toBe(keyId.replace(REGION, "us-east-1"));
    const { CiphertextBlob: blob } = await call("kms encrypt", { keyId, plaintext: fileOf(Buffer.from("related")) });
    const there = { region: "us-east-1", keyId: replica, ciphertextBlob: fileOf(bytesOf(blob)) };
    expect((await call("kms decrypt", there))["Plaintext"]).toBe(base64("related"));
  },
  deletion: async () => {
    const keyId = await newKey();
    await call("kms schedule-key-deletion", { keyId, pendingWindowInDays: 7 });
    expect(await stateOf(keyId)).toBe("PendingDeletion");
    expect(await refusal("kms enable-key", { keyId })).toBe("KMSInvalidStateException");
    await call("kms cancel-key-deletion", { keyId });
    expect(await stateOf(keyId)).toBe("Disabled");
  },
  "custom key stores": async () => {
    expect((await call("kms describe-custom-key-stores"))["CustomKeyStores"]).toEqual([]);
    const customKeyStoreId = "cks-1234567890abcdef0";
    for (const command of ["connect", "disconnect", "delete"])
      expect(await refusal(`kms ${command}-custom-key-store`, { customKeyStoreId })).toBe(
        "CustomKeyStoreNotFoundException",
      );
  },
  sessions: async () => {
    const me = await call("sts get-caller-identity");
    expect(me).toMatchObject({ Account: ACCOUNT, Arn: `arn:aws:iam::${ACCOUNT}:user/alice` });
    const worker = await sessionOf("worker");
    const { Arn: arn } = await call("sts get-caller-identity", {}, worker);
    expect(arn).toBe(`arn:aws:sts::${ACCOUNT}:assumed-role/worker/cli`);
    expect(await call("kms list-keys", { maxItems: 1 }, worker)).toHaveProperty("Keys");
    const own = environmentOf(await call("sts get-session-token", { durationSeconds: 900 }));
    expect((await call("sts get-caller-identity", {}, own))["Arn"]).toBe(me["Arn"]);
    const bob = await call("sts get-federation-token", { name: "bob", policy: cli.world.randomOnly });
    expect(await call("kms generate-random", { numberOfBytes: 8 }, environmentOf(bob))).toHaveProperty("Plaintext");
    expect(await refusal("kms list-keys", {}, environmentOf(bob))).toBe("AccessDeniedException");
    const ask = { roleArn: cli.world.roles.web, roleSessionName: "carol" };
    const web = await call("sts assume-role-with-web-identity", { ...ask, webIdentityToken: cli.world.token });
    expect(web["SubjectFromWebIdentityToken"]).toBe("carol-1234");
    expect(await refusal("sts assume-role", ask)).toBe("AccessDenied");
  },
};

function environmentOf({ Credentials: credentials }: Output): Environment {
  const { AccessKeyId: id, SecretAccessKey: secret, SessionToken: token } = credentials as Record<string, string>;
  return { AWS_ACCESS_KEY_ID: id ?? "", AWS_SECRET_ACCESS_KEY: secret ?? "", AWS_SESSION_TOKEN: token ?? "" };
}

async function sessionOf(role: keyof World["roles"]): Promise<Environment> {
  const ask = { roleArn: cli.world.roles[role], roleSessionName: "cli" };
  return environmentOf(await call("sts assume-role", ask));
}

describe.skipIf(!hasClients)("the AWS CLI (skipped where it is not installed: make aws-clients)", () => {
  beforeAll(async () => {
    cli = await startCli();
  });
  afterAll(() => cli[Symbol.asyncDispose]());

  test.concurrent.each(Object.entries(families))("%s", async (_, drive) => drive(), 240_000);

  test("under another CA it says nothing", async () => {
    const other = join(cli.world.folder, "other.pem");
    writeFileSync(other, (await makeServerIdentity(["localhost"])).caCertificatePem);
    const { status, stderr } = await cli.program("kms list-keys", { AWS_CA_BUNDLE: other, AWS_MAX_ATTEMPTS: "1" });
    expect(status).not.toBe(0);
    expect(stderr).toContain("CERTIFICATE_VERIFY_FAILED");
  }, 120_000);

  test("the installed program is answered as its forks are", async () => {
    const { status, stdout } = await cli.program("sts get-caller-identity");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual(await call("sts get-caller-identity"));
  }, 120_000);

  test("it was the AWS CLI that called", () => {
    const records = cli.world.aws.trail();
    expect(records.length).toBeGreaterThan(70);
    for (const { event } of records) expect(event.userAgent).toMatch(/^aws-cli\/1\./);
  });
});
