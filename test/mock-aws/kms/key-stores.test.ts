/** Custom key stores through KMS: an XKS proxy's double, and SoftHSM2 where it is there. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { LABEL, makeToken, PASSWORD, SKIP_REASON, SOFTHSM2, type SoftToken } from "../stores/softhsm.ts";
import { CREDENTIAL, HOST, PATH, startXksDouble, type XksDouble } from "../stores/xks-double.ts";
import { type KmsBed, outcome, present, refusal, startKmsBed } from "./bed.ts";

const Plaintext = utf8("plaintext");
const EncryptionContext = { a: "b" };
const store = (bed: KmsBed, CustomKeyStoreId: string) => ({
  connect: () => bed.as("admin").connectCustomKeyStore({ CustomKeyStoreId }),
  disconnect: () => bed.as("admin").disconnectCustomKeyStore({ CustomKeyStoreId }),
  remove: () => bed.as("admin").deleteCustomKeyStore({ CustomKeyStoreId }),
  describe: async () => (await bed.as("admin").describeCustomKeyStores({ CustomKeyStoreId })).CustomKeyStores?.[0],
});

describe("an external key store", () => {
  let proxy: XksDouble;
  let bed: KmsBed;
  beforeEach(async () => {
    proxy = await startXksDouble();
    proxy.keys.set("external-1", {
      material: randomBytes(32),
      spec: "AES_256",
      usage: ["ENCRYPT", "DECRYPT"],
      status: "ENABLED",
    });
    const address = { host: "127.0.0.1", port: proxy.port };
    const xksAddresses = { [`https://${HOST}`]: address };
    bed = await startKmsBed({
      kms: { keyStores: { xksCertificateAuthorities: [proxy.caCertificatePem], xksAddresses } },
    });
  });
  afterEach(async () => {
    await bed[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });
  const input = (change = {}) => ({
    CustomKeyStoreName: "external",
    CustomKeyStoreType: "EXTERNAL_KEY_STORE" as const,
    XksProxyUriEndpoint: `https://${HOST}`,
    XksProxyUriPath: PATH,
    XksProxyConnectivity: "PUBLIC_ENDPOINT" as const,
    XksProxyAuthenticationCredential: {
      AccessKeyId: CREDENTIAL.accessKeyId,
      RawSecretAccessKey: CREDENTIAL.rawSecretAccessKey,
    },
    ...change,
  });
  const create = async () => present((await bed.as("admin").createCustomKeyStore(input())).CustomKeyStoreId);
  const newKey = (CustomKeyStoreId: string) =>
    bed.as("admin").createKey({ CustomKeyStoreId, Origin: "EXTERNAL_KEY_STORE", XksKeyId: "external-1" });

  test("a key of it encrypts at the proxy, under the encryption context, and says where it is", async () => {
    const id = await create();
    const { connect, describe: look } = store(bed, id);
    expect(await look()).toMatchObject({ CustomKeyStoreName: "external", ConnectionState: "DISCONNECTED" });
    expect(JSON.stringify(await look())).not.toContain(CREDENTIAL.rawSecretAccessKey);
    expect(await outcome(newKey(id))).toBe("CustomKeyStoreInvalidStateException");
    await connect();
    await connect();
    expect((await look())?.ConnectionState).toBe("CONNECTED");
    const { KeyMetadata } = await newKey(id);
    const KeyId = present(KeyMetadata?.Arn);
    expect(KeyMetadata).toMatchObject({ CustomKeyStoreId: id, XksKeyConfiguration: { Id: "external-1" } });
    expect(await outcome(newKey(id))).toBe("XksKeyAlreadyInUseException");
    const kms = bed.as("admin");
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext, EncryptionContext });
    const seen = proxy.requests.at(-1);
    expect(seen?.body["requestMetadata"]).toMatchObject({ kmsKeyArn: KeyId, kmsOperation: "Encrypt" });
    const opened = await kms.decrypt({ CiphertextBlob, EncryptionContext });
    expect([opened.Plaintext, opened.KeyMaterialId]).toEqual([Uint8Array.from(Plaintext), undefined]);
    // The proxy finds it out, and AWS has this exception for that.
    expect(await outcome(kms.decrypt({ CiphertextBlob }))).toBe("KMSInvalidStateException");
    const dataKey = await kms.generateDataKey({ KeyId, KeySpec: "AES_256" });
    expect((await kms.decrypt({ CiphertextBlob: dataKey.CiphertextBlob })).Plaintext).toEqual(dataKey.Plaintext);
    for (const call of [
      kms.generateDataKeyPair({ KeyId, KeyPairSpec: "ECC_NIST_P256" }),
      kms.enableKeyRotation({ KeyId }),
      kms.rotateKeyOnDemand({ KeyId }),
      kms.getKeyRotationStatus({ KeyId }),
    ])
      expect(await outcome(call)).toBe("UnsupportedOperationException");
    expect(await outcome(kms.generateRandom({ NumberOfBytes: 1, CustomKeyStoreId: id }))).toBe(
      "UnsupportedOperationException",
    );
  });

  test("disconnected, its keys are unavailable; it goes when its keys are gone", async () => {
    const id = await create();
    const { connect, disconnect, remove } = store(bed, id);
    await connect();
    const KeyId = present((await newKey(id)).KeyMetadata?.Arn);
    expect(await outcome(remove())).toBe("CustomKeyStoreHasCMKsException");
    await disconnect();
    expect(await outcome(disconnect())).toBe("CustomKeyStoreInvalidStateException");
    expect((await bed.as("admin").describeKey({ KeyId })).KeyMetadata?.KeyState).toBe("Unavailable");
    expect(await refusal(bed.as("admin").encrypt({ KeyId, Plaintext }))).toEqual({
      name: "KMSInvalidStateException",
      message: `${KeyId} is unavailable.`,
    });
    await bed.as("admin").scheduleKeyDeletion({ KeyId, PendingWindowInDays: 7 });
    expect(await outcome(remove())).toBe("CustomKeyStoreHasCMKsException");
    bed.aws.setClockOffsetMs(7 * 86_400_000);
    await remove();
    expect(await outcome(connect())).toBe("CustomKeyStoreNotFoundException");
    expect(proxy.keys.has("external-1")).toBe(true);
  });

  test("a store that fails to connect says why, and is disconnected before it is tried again", async () => {
    const id = await create();
    const { connect, disconnect, describe: look } = store(bed, id);
    proxy.misbehave = { kind: "error", status: 401, name: "AuthenticationFailedException" };
    await connect();
    expect(await look()).toMatchObject({ ConnectionState: "FAILED", ConnectionErrorCode: "INVALID_CREDENTIALS" });
    expect(await outcome(connect())).toBe("CustomKeyStoreInvalidStateException");
    await disconnect();
    proxy.misbehave = undefined;
    await connect();
    expect(await look()).not.toHaveProperty("ConnectionErrorCode");
  });

  test("what may be changed, and when", async () => {
    const id = await create();
    const update = (change: object) => bed.as("admin").updateCustomKeyStore({ CustomKeyStoreId: id, ...change });
    const second = await bed
      .as("admin")
      .createCustomKeyStore(input({ CustomKeyStoreName: "second", XksProxyUriPath: "/other/kms/xks/v1" }))
      .catch((error: Error) => error.name);
    expect(second).not.toBe("XksProxyUriInUseException");
    expect(await outcome(bed.as("admin").createCustomKeyStore(input()))).toBe("CustomKeyStoreNameInUseException");
    const samePath = bed.as("admin").createCustomKeyStore(input({ CustomKeyStoreName: "third" }));
    expect(await outcome(samePath)).toBe("XksProxyUriInUseException");
    expect(await outcome(update({ KeyStorePassword: "password" }))).toBe("ValidationException");
    await store(bed, id).connect();
    await update({ NewCustomKeyStoreName: "renamed" });
    await update({ XksProxyAuthenticationCredential: input().XksProxyAuthenticationCredential });
    const endpoint = update({ XksProxyUriEndpoint: "https://other.example.com" });
    expect(await outcome(endpoint)).toBe("CustomKeyStoreInvalidStateException");
    expect(await store(bed, id).describe()).toMatchObject({
      CustomKeyStoreName: "renamed",
      ConnectionState: "CONNECTED",
    });
    expect(await outcome(store(bed, id).remove())).toBe("CustomKeyStoreInvalidStateException");
    await newKey(id);
    for (const call of [
      bed.as("partner").describeCustomKeyStores({ CustomKeyStoreId: id }),
      bed.as("admin", "us-east-1").describeCustomKeyStores({ CustomKeyStoreId: id }),
    ])
      expect(await outcome(call)).toBe("CustomKeyStoreNotFoundException");
    expect(await outcome(bed.as("bare").describeCustomKeyStores({}))).toBe("AccessDeniedException");
  });
});

describe.skipIf(SOFTHSM2 === undefined)(`a CloudHSM key store over SoftHSM2${SKIP_REASON}`, () => {
  const CLUSTER = "cluster-2a23b4cdefg";
  const ANCHOR = "-----BEGIN CERTIFICATE-----\nanchor\n-----END CERTIFICATE-----\n";
  let token: SoftToken;
  let bed: KmsBed;
  beforeEach(async () => {
    token = await makeToken();
    const { library, environment } = token;
    const cluster = { clusterId: CLUSTER, library, tokenLabel: LABEL, trustAnchorCertificate: ANCHOR, environment };
    bed = await startKmsBed({ kms: { keyStores: { clusters: [cluster] } } });
  });
  afterEach(async () => {
    await bed[Symbol.asyncDispose]();
    await token[Symbol.asyncDispose]();
  });
  const input = (change = {}) => ({
    CustomKeyStoreName: "hsm",
    ...{ CloudHsmClusterId: CLUSTER, TrustAnchorCertificate: ANCHOR, KeyStorePassword: PASSWORD },
    ...change,
  });

  test.each([
    ["another cluster", { CloudHsmClusterId: "cluster-3a23b4cdefg" }, "CloudHsmClusterNotFoundException"],
    ["another trust anchor", { TrustAnchorCertificate: "x" }, "IncorrectTrustAnchorException"],
    ["no password", { KeyStorePassword: undefined }, "ValidationException"],
  ])("%s is refused", async (_why, change, name) => {
    expect(await outcome(bed.as("admin").createCustomKeyStore(input(change) as never))).toBe(name);
  });

  test("a key is made in the token and used through KMS; the token goes, and comes back", async () => {
    const kms = bed.as("admin");
    const id = present((await kms.createCustomKeyStore(input())).CustomKeyStoreId);
    const { connect, disconnect, describe: look } = store(bed, id);
    expect(await outcome(kms.createCustomKeyStore(input({ CustomKeyStoreName: "b" })))).toBe(
      "CloudHsmClusterInUseException",
    );
    await connect();
    expect((await look())?.ConnectionState).toBe("CONNECTED");
    const { KeyMetadata } = await kms.createKey({ CustomKeyStoreId: id, Origin: "AWS_CLOUDHSM" });
    const KeyId = present(KeyMetadata?.Arn);
    expect(KeyMetadata).toMatchObject({ CloudHsmClusterId: CLUSTER, CustomKeyStoreId: id, Origin: "AWS_CLOUDHSM" });
    expect(token.peek(`return find([{ type: p.CKA_LABEL, value: ${JSON.stringify(KeyId)} }]).length;`)).toBe(1);
    const { CiphertextBlob } = await kms.encrypt({ KeyId, Plaintext, EncryptionContext });
    const open = () => kms.decrypt({ CiphertextBlob, EncryptionContext });
    expect((await open()).Plaintext).toEqual(Uint8Array.from(Plaintext));
    expect((await kms.generateRandom({ NumberOfBytes: 16, CustomKeyStoreId: id })).Plaintext?.length).toBe(16);
    await disconnect();
    await token.setPresent(false);
    expect(await outcome(open())).toBe("KMSInvalidStateException");
    await connect();
    const failed = await look();
    expect(failed?.ConnectionState).toBe("FAILED");
    expect(failed?.ConnectionErrorCode).toMatch(/^[A-Z_]+$/);
    await token.setPresent(true);
    await disconnect();
    await connect();
    expect((await open()).Plaintext).toEqual(Uint8Array.from(Plaintext));
  });
});
