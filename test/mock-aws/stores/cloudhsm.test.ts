/** CloudHSM key stores over a real PKCS#11 token, SoftHSM2's. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AwsFault } from "../../../mock/aws/fault.ts";
import { type KeyRequest, type KeyStoreBackend, StoreFault } from "../../../mock/aws/kms/stores/backend.ts";
import { type CloudHsmOptions, openCloudHsmStore } from "../../../mock/aws/kms/stores/cloudhsm.ts";
import { utf8 } from "../../../shared/bytes.ts";
import { LABEL, makeToken, PASSWORD, SKIP_REASON, SOFTHSM2, type SoftToken } from "./softhsm.ts";

const KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const request: KeyRequest = {
  operation: "Encrypt",
  requestId: "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
  kmsKeyArn: KEY_ARN,
  principalArn: "arn:aws:iam::111122223333:user/Alice",
};
const store = { operation: "ConnectCustomKeyStore", requestId: "r" };
const additionalData = utf8("context");
const kmsMaterial = randomBytes(32);
const plaintext = utf8("plaintext");

/** What a backend says no with: exception and connection error code. */
async function refusal(
  promise: Promise<unknown>,
): Promise<{ error: string; code: string | undefined; fault: AwsFault }> {
  const fault = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(fault instanceof AwsFault)) throw new Error("expected a fault", { cause: fault });
  const code = fault instanceof StoreFault ? fault.connectionErrorCode : undefined;
  return { error: fault.error, code, fault };
}

describe.skipIf(SOFTHSM2 === undefined)(`a CloudHSM key store over SoftHSM2${SKIP_REASON}`, () => {
  let token: SoftToken;
  let backend: KeyStoreBackend;
  const open = (overrides: Partial<CloudHsmOptions> = {}): KeyStoreBackend => {
    const { library, environment } = token;
    return openCloudHsmStore({ library, environment, tokenLabel: LABEL, password: PASSWORD, ...overrides });
  };
  beforeEach(async () => {
    token = await makeToken();
    backend = open();
  });
  afterEach(async () => {
    await backend[Symbol.asyncDispose]();
    await token[Symbol.asyncDispose]();
  });
  const encrypt = (keyId: string, of: KeyStoreBackend = backend): Promise<Uint8Array> =>
    of.encrypt({ keyId, request, additionalData, kmsMaterial, plaintext });
  const decrypt = (keyId: string, blob: Uint8Array, aad = additionalData): Promise<Uint8Array> =>
    backend.decrypt({ keyId, request, additionalData: aad, kmsMaterial, blob });

  test("a key is made in the token: AES-256, persistent, never to be read, named after the KMS key", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    const seen = token.peek(`
      const [key, ...more] = find([{ type: p.CKA_ID, value: Buffer.from(${JSON.stringify(keyId)}) }]);
      const bit = (type) => m.C_GetAttributeValue(s, key, [{ type }])[0].value[0];
      let value; try { m.C_GetAttributeValue(s, key, [{ type: p.CKA_VALUE }]); value = "read"; } catch (e) { value = e.message; }
      return { more: more.length, token: bit(p.CKA_TOKEN), private: bit(p.CKA_PRIVATE), sensitive: bit(p.CKA_SENSITIVE),
        extractable: bit(p.CKA_EXTRACTABLE), never: bit(p.CKA_NEVER_EXTRACTABLE), length: bit(p.CKA_VALUE_LEN),
        label: m.C_GetAttributeValue(s, key, [{ type: p.CKA_LABEL }])[0].value.toString(), value };`);
    expect(seen).toEqual({
      more: 0,
      token: 1,
      private: 1,
      sensitive: 1,
      extractable: 0,
      never: 1,
      length: 32,
      label: KEY_ARN,
      value: "CKR_ATTRIBUTE_SENSITIVE",
    });
  });

  test("decrypt inverts encrypt, in another session too; two blobs of one plaintext differ", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    const [one, two] = await Promise.all([encrypt(keyId), encrypt(keyId)]);
    expect(one).not.toEqual(two);
    expect(await decrypt(keyId, one)).toEqual(plaintext);
    await backend.disconnect();
    await backend.connect(store);
    expect(await decrypt(keyId, two)).toEqual(plaintext);
  });

  test("the token decrypts what the blob holds: nothing but its AES-GCM is around it", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    const blob = Buffer.from(await encrypt(keyId)).toString("hex");
    const opened = token.peek(`
      const blob = Buffer.from("${blob}", "hex");
      const [key] = find([{ type: p.CKA_ID, value: Buffer.from(${JSON.stringify(keyId)}) }]);
      const parameter = { type: p.CK_PARAMS_GCM, iv: blob.subarray(1, 13), ivBits: 96, aad: Buffer.from("context"), tagBits: 128 };
      m.C_DecryptInit(s, { mechanism: p.CKM_AES_GCM, parameter }, key);
      return m.C_Decrypt(s, blob.subarray(13), Buffer.alloc(blob.length)).toString();`);
    expect(opened).toBe("plaintext");
  });

  test("one byte and 4096 fit", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    for (const size of [4096, 1]) {
      const large = randomBytes(size);
      const blob = await backend.encrypt({ keyId, request, additionalData, kmsMaterial, plaintext: large });
      expect(Buffer.from(await decrypt(keyId, blob)).equals(large)).toBe(true);
    }
  });

  test("other additional data, a flipped bit, a cut blob, another version → InvalidCiphertextException", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    const blob = await encrypt(keyId);
    const flipped = Uint8Array.from(blob, (byte, at) => (at === 20 ? byte ^ 1 : byte));
    const version = Uint8Array.from(blob, (byte, at) => (at === 0 ? 2 : byte));
    const invalid = { error: "InvalidCiphertextException", code: undefined };
    expect(await refusal(decrypt(keyId, blob, utf8("other")))).toMatchObject(invalid);
    for (const bad of [flipped, version, blob.subarray(0, 28), new Uint8Array()])
      expect(await refusal(decrypt(keyId, bad))).toMatchObject(invalid);
    expect(await decrypt(keyId, blob)).toEqual(plaintext);
  });

  test("another key of the token does not open it", async () => {
    await backend.connect(store);
    const [one, two] = [await backend.createKey({ request }), await backend.createKey({ request })];
    const blob = await encrypt(one);
    expect((await refusal(decrypt(two, blob))).error).toBe("InvalidCiphertextException");
  });

  test("a key is found until it is deleted; then its use is KMSInvalidStateException", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    expect(await backend.findKey(keyId, request)).toBe(true);
    await backend.deleteKey(keyId);
    expect(await backend.findKey(keyId, request)).toBe(false);
    expect((await refusal(encrypt(keyId))).error).toBe("KMSInvalidStateException");
    expect(token.peek("return find([{ type: p.CKA_CLASS, value: p.CKO_SECRET_KEY }]).length;")).toBe(0);
  });

  test("a key that somebody deleted in the token is missed", async () => {
    await backend.connect(store);
    const keyId = await backend.createKey({ request });
    await encrypt(keyId);
    token.peek("for (const key of find([{ type: p.CKA_CLASS, value: p.CKO_SECRET_KEY }])) m.C_DestroyObject(s, key);");
    expect((await refusal(encrypt(keyId))).error).toBe("KMSInvalidStateException");
  });

  test("random bytes come from the token", async () => {
    await backend.connect(store);
    const [one, two] = [await backend.randomBytes?.(1024), await backend.randomBytes?.(1024)];
    expect(one).toHaveLength(1024);
    expect(one).not.toEqual(two);
  });

  test("not connected → the exceptions of each family", async () => {
    const error = (promise: Promise<unknown>): Promise<string> => refusal(promise).then((refused) => refused.error);
    expect(await error(encrypt("x"))).toBe("KMSInvalidStateException");
    expect(await error(backend.createKey({ request }))).toBe("CustomKeyStoreInvalidStateException");
    await backend.connect(store);
    await backend.disconnect();
    expect(await error(encrypt("x"))).toBe("KMSInvalidStateException");
  });

  describe("what can not be connected has a code", () => {
    test.each([
      ["a wrong password", { password: "another-1" }, "INVALID_CREDENTIALS"],
      ["a token that is not there", { tokenLabel: "cluster-other" }, "CLUSTER_NOT_FOUND"],
      ["a file that is no library", { library: import.meta.filename }, "INTERNAL_ERROR"],
    ])("%s", async (_what, overrides, code) => {
      await using other = open(overrides);
      expect((await refusal(other.connect(store))).code).toBe(code);
    });

    test("no kmsuser", async () => {
      await using unborn = await makeToken({ userPin: null });
      await using other = open({ environment: unborn.environment });
      expect((await refusal(other.connect(store))).code).toBe("USER_NOT_FOUND");
      expect((await refusal(other.check(store))).error).toBe("CloudHsmClusterNotActiveException");
    });

    test("the check of CreateCustomKeyStore logs in to nothing", async () => {
      await open({ password: "another-1" }).check(store);
      const missing = await refusal(open({ tokenLabel: "cluster-other" }).check(store));
      expect(missing.error).toBe("CloudHsmClusterNotFoundException");
    });
  });

  describe("the token goes and comes back", () => {
    test("gone: the key's own error and a code for the store; back: it works", async () => {
      await backend.connect(store);
      const keyId = await backend.createKey({ request });
      const blob = await encrypt(keyId);
      await token.setPresent(false);
      const gone = { error: "KMSInvalidStateException", code: "NETWORK_ERRORS" };
      expect(await refusal(decrypt(keyId, blob))).toMatchObject(gone);
      expect(await refusal(encrypt(keyId))).toMatchObject(gone);
      expect((await refusal(backend.createKey({ request }))).error).toBe("CustomKeyStoreInvalidStateException");
      await token.setPresent(true);
      expect(await decrypt(keyId, blob)).toEqual(plaintext);
    });

    test("connecting while it is gone fails with a code, and works when it is back", async () => {
      await backend.connect(store);
      const keyId = await backend.createKey({ request });
      const blob = await encrypt(keyId);
      await backend.disconnect();
      await token.setPresent(false);
      expect((await refusal(backend.connect(store))).code).toBe("NETWORK_ERRORS");
      expect((await refusal(decrypt(keyId, blob))).error).toBe("KMSInvalidStateException");
      await token.setPresent(true);
      await backend.connect(store);
      expect(await decrypt(keyId, blob)).toEqual(plaintext);
    });

    test("many calls that find it stale share one new session", async () => {
      await backend.connect(store);
      const keyId = await backend.createKey({ request });
      await token.setPresent(false);
      await refusal(encrypt(keyId));
      await token.setPresent(true);
      const blobs = await Promise.all(Array.from({ length: 8 }, () => encrypt(keyId)));
      expect(await decrypt(keyId, blobs[7] ?? new Uint8Array())).toEqual(plaintext);
    });
  });

  test("no error holds the password", async () => {
    await using other = open({ password: "another-1" });
    const { fault } = await refusal(other.connect(store));
    const told = JSON.stringify([fault, fault.cause, fault.stack, String(fault.cause), (fault.cause as Error).stack]);
    expect(told).toContain("CKR_PIN_INCORRECT");
    expect(told).not.toContain("another-1");
  });
});
