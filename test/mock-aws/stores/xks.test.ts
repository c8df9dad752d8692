/** External key stores: both layers of encryption, what the proxy is told, and answers that are not as they should be. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { KeyStoreBackend } from "../../../mock/aws/kms/stores/backend.ts";
import { openExternalKeyStore } from "../../../mock/aws/kms/stores/xks.ts";
import { utf8 } from "../../../shared/bytes.ts";
import {
  CONTEXT,
  connected,
  decrypt,
  encrypt,
  KEY_ID,
  keyRequest,
  MATERIAL,
  PLAINTEXT,
  refusal,
  STORE_REQUEST,
} from "./xks-calls.ts";
import { HEALTH, type Json, type Misbehaviour, newKey, PATH, startXksDouble, type XksDouble } from "./xks-double.ts";

/** Runs with a proxy and a store that is connected to it. */
async function withStore(run: (backend: KeyStoreBackend, double: XksDouble) => Promise<void>): Promise<void> {
  await using double = await startXksDouble();
  await using backend = await connected(double);
  await run(backend, double);
}

const NOT_UNDERSTOOD = { error: "KMSInvalidStateException", code: "XKS_PROXY_INVALID_RESPONSE" };

describe("two layers of encryption", () => {
  test("decrypt inverts encrypt; the proxy never sees the plaintext", () =>
    withStore(async (backend, double) => {
      const blob = await encrypt(backend);
      expect(await decrypt(backend, blob)).toEqual(PLAINTEXT);
      const seen = double.requests.at(-2)?.body["plaintext"];
      const inner = Buffer.from(String(seen), "base64");
      expect(inner).toHaveLength(PLAINTEXT.length + 28);
      expect(inner.includes(Buffer.from(PLAINTEXT))).toBe(false);
    }));

  test("4096 bytes stay below the 4300 that every proxy takes", () =>
    withStore(async (backend, double) => {
      const plaintext = new Uint8Array(4096).fill(1);
      expect(await decrypt(backend, await encrypt(backend, { plaintext }))).toEqual(plaintext);
      expect(Buffer.from(String(double.requests.at(-2)?.body["plaintext"]), "base64").length).toBeLessThanOrEqual(4300);
    }));

  test("other additional data: the proxy's own refusal", () =>
    withStore(async (backend) => {
      const refused = await refusal(decrypt(backend, await encrypt(backend), { additionalData: utf8("other") }));
      expect(refused.error).toBe("KMSInvalidStateException");
      expect(refused.fault.message).toContain("rejected the request because the specified ciphertext");
    }));

  test("other material of KMS: the proxy opens its layer, and KMS's does not open", () =>
    withStore(async (backend) => {
      const refused = await refusal(decrypt(backend, await encrypt(backend), { kmsMaterial: new Uint8Array(32) }));
      expect(refused.fault.message).toContain("submitted for decryption");
    }));

  test("another external key does not open it", () =>
    withStore(async (backend, double) => {
      double.keys.set("key-2", newKey());
      expect((await refusal(decrypt(backend, await encrypt(backend), { keyId: "key-2" }))).error).toBe(
        "KMSInvalidStateException",
      );
    }));

  test("every byte of the blob counts; what has not its form is InvalidCiphertextException, unasked", () =>
    withStore(async (backend, double) => {
      const blob = await encrypt(backend);
      const head = 1 + 1 + 13 + 1;
      for (const at of [2, head - 1 + 1, head + 12, head + 12 + 16, blob.length - 1]) {
        const flipped = Uint8Array.from(blob, (byte, index) => (index === at ? byte ^ 1 : byte));
        expect((await refusal(decrypt(backend, flipped))).error, `byte ${at}`).toBe("KMSInvalidStateException");
      }
      const asked = double.requests.length;
      const [version, length] = [Uint8Array.from(blob), Uint8Array.from(blob)];
      version[0] = 2;
      length[1] = 21;
      for (const bad of [version, length, blob.subarray(0, head + 12 + 15), new Uint8Array(), Uint8Array.of(1)])
        expect((await refusal(decrypt(backend, bad))).error).toBe("InvalidCiphertextException");
      expect(double.requests).toHaveLength(asked);
    }));
});

describe("what the proxy is told", () => {
  test("who asks for what, under which request; the context as additional data", () =>
    withStore(async (backend, double) => {
      const request = {
        ...keyRequest("GenerateDataKey"),
        viaService: "s3.eu-central-1.amazonaws.com",
        sourceVpc: "vpc-1",
        sourceVpce: "vpce-1",
      };
      const what = { additionalData: CONTEXT, kmsMaterial: MATERIAL, plaintext: PLAINTEXT };
      await backend.encrypt({ keyId: KEY_ID, request, ...what });
      const { url, headers, body } = double.requests.at(-1) ?? { url: "", headers: {}, body: {} };
      expect(url).toBe(`${PATH}/keys/${KEY_ID}/encrypt`);
      expect(headers["content-type"]).toBe("application/json");
      expect(body).toMatchObject({
        requestMetadata: {
          awsPrincipalArn: request.principalArn,
          awsSourceVpc: "vpc-1",
          awsSourceVpce: "vpce-1",
          kmsKeyArn: request.kmsKeyArn,
          kmsOperation: "GenerateDataKey",
          kmsRequestId: request.requestId,
          kmsViaService: "s3.eu-central-1.amazonaws.com",
        },
        additionalAuthenticatedData: Buffer.from(CONTEXT).toString("base64"),
        encryptionAlgorithm: "AES_GCM",
        ciphertextDataIntegrityValueAlgorithm: "SHA_256",
      });
    }));

  test("health names the operation alone; CreateKey has no key ARN yet", () =>
    withStore(async (backend, double) => {
      await backend.check({ operation: "CreateCustomKeyStore", requestId: "r-1" });
      expect(double.requests.at(-1)).toMatchObject({ url: `${PATH}/health` });
      expect(double.requests.at(-1)?.body).toEqual({
        requestMetadata: { kmsOperation: "CreateCustomKeyStore", kmsRequestId: "r-1" },
      });
      expect(await backend.createKey({ request: keyRequest("CreateKey"), xksKeyId: KEY_ID })).toBe(KEY_ID);
      expect(double.requests.at(-1)?.body["requestMetadata"]).not.toHaveProperty("kmsKeyArn");
    }));

  test("without additional data the member is absent", () =>
    withStore(async (backend, double) => {
      const what = { request: keyRequest("Encrypt"), kmsMaterial: MATERIAL, plaintext: PLAINTEXT };
      await backend.encrypt({ keyId: KEY_ID, ...what, additionalData: new Uint8Array() });
      expect(double.requests.at(-1)?.body).not.toHaveProperty("additionalAuthenticatedData");
    }));
});

describe("keys that KMS can not use", () => {
  test.each([
    ["another spec", { spec: "AES_128" }, "XksKeyInvalidConfigurationException"],
    ["no DECRYPT", { usage: ["ENCRYPT"] }, "XksKeyInvalidConfigurationException"],
    ["no ENCRYPT", { usage: ["DECRYPT"] }, "XksKeyInvalidConfigurationException"],
    ["disabled", { status: "DISABLED" }, "XksKeyInvalidConfigurationException"],
    ["a status of its own", { status: "SLEEPING" }, "CustomKeyStoreInvalidStateException"],
    ["eleven usages", { usage: Array(11).fill("ENCRYPT") }, "CustomKeyStoreInvalidStateException"],
  ])("%s", (_what, change, error) =>
    withStore(async (backend, double) => {
      double.keys.set("key-2", { ...newKey(), ...change });
      const creating = backend.createKey({ request: keyRequest("CreateKey"), xksKeyId: "key-2" });
      expect((await refusal(creating)).error).toBe(error);
    }),
  );

  test("a key id that would leave its place in the path is not asked for", () =>
    withStore(async (backend, double) => {
      const asked = double.requests.length;
      const creating = backend.createKey({ request: keyRequest("CreateKey"), xksKeyId: ".." });
      expect((await refusal(creating)).error).toBe("XksKeyNotFoundException");
      expect(double.requests).toHaveLength(asked);
    }));

  test("findKey says whether there is a usable key; a proxy that fails is not a missing key", () =>
    withStore(async (backend, double) => {
      expect(await backend.findKey(KEY_ID, keyRequest("DescribeKey"))).toBe(true);
      expect(await backend.findKey("key-9", keyRequest("DescribeKey"))).toBe(false);
      double.misbehave = { kind: "raw", status: 500, body: "" };
      expect(await refusal(backend.findKey(KEY_ID, keyRequest("DescribeKey")))).toMatchObject(NOT_UNDERSTOOD);
    }));
});

describe("answers that are not understood", () => {
  const spoil = (change: (answer: Json) => unknown): Misbehaviour => ({ kind: "spoil", change });
  const bytes = (length: number): string => Buffer.alloc(length).toString("base64");
  /** With an integrity value over what the change made of the answer. */
  const sealed = (change: (answer: Json) => Json): Misbehaviour =>
    spoil((answer) => {
      const changed = { ...answer, ...change(answer) };
      const hash = createHash("sha256").update(CONTEXT);
      for (const name of ["ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag"])
        hash.update(Buffer.from(String(changed[name as keyof typeof changed]), "base64"));
      return { ...changed, ciphertextDataIntegrityValue: hash.digest("base64") };
    });
  const encrypting: readonly (readonly [string, Misbehaviour])[] = [
    ["no ciphertext", spoil(({ ciphertext: _, ...rest }) => rest)],
    ["a longer ciphertext", sealed(() => ({ ciphertext: bytes(38) }))],
    ["a vector of 13 bytes", sealed(() => ({ initializationVector: bytes(13) }))],
    ["a tag of 15 bytes", sealed(() => ({ authenticationTag: bytes(15) }))],
    ["metadata of 21 bytes", sealed(() => ({ ciphertextMetadata: bytes(21) }))],
    ["no integrity value", spoil(({ ciphertextDataIntegrityValue: _, ...rest }) => rest)],
    ["a tag that the integrity value does not cover", spoil((answer) => ({ ...answer, authenticationTag: bytes(16) }))],
    [
      "base64 without padding",
      sealed(({ authenticationTag }) => ({ authenticationTag: String(authenticationTag).replaceAll("=", "") })),
    ],
    ["an array", spoil((answer) => [answer])],
    ["an error with status 200", { kind: "raw", status: 200, body: '{"errorName":"ThrottlingException"}' }],
    ["an error name of its own", { kind: "error", status: 400, name: "ConfusedException" }],
    ["a name that only KMS uses", { kind: "error", status: 400, name: "not connected" }],
    ["a refused ciphertext, where there was none", { kind: "error", status: 400, name: "InvalidCiphertextException" }],
    ["405 with a page", { kind: "raw", status: 405, body: "<html>", contentType: "text/html" }],
    ["JSON that says it is HTML", { kind: "spoil", change: (answer) => answer, contentType: "text/html" }],
    ["a redirect", { kind: "raw", status: 307, body: "{}" }],
    ["a name twice", { kind: "raw", status: 200, body: '{"plaintext":"","plaintext":""}' }],
    ["bytes that are not UTF-8", { kind: "raw", status: 200, body: Buffer.of(0x22, 0xff, 0x22) }],
    ["more than 64 KiB", spoil((answer) => ({ ...answer, more: "x".repeat(65_536) }))],
    ["half an answer", { kind: "cut", after: "half an answer" }],
  ];
  test.each(encrypting)("to encrypt: %s", (_what, how) =>
    withStore(async (backend, double) => {
      double.misbehave = how;
      const refused = await refusal(encrypt(backend));
      expect(refused).toMatchObject(NOT_UNDERSTOOD);
      expect(refused.fault.message).toContain("cannot interpret the response");
      double.misbehave = undefined;
      expect(await decrypt(backend, await encrypt(backend))).toEqual(PLAINTEXT);
    }),
  );

  test("to decrypt: a plaintext of another length", () =>
    withStore(async (backend, double) => {
      const blob = await encrypt(backend);
      double.misbehave = spoil(() => ({ plaintext: bytes(36) }));
      expect((await refusal(decrypt(backend, blob))).fault.message).toContain("cannot interpret the response");
    }));

  const manager = { id: "1", model: "m", healthStatus: "ACTIVE" };
  test.each([
    ["fleet size 0", { xksProxyFleetSize: 0 }],
    ["no vendor", { ekmVendor: undefined }],
    ["no key manager", { ekmFleetDetails: [] }],
    ["eleven key managers", { ekmFleetDetails: Array(11).fill(manager) }],
    ["a status of its own", { ekmFleetDetails: [{ ...manager, healthStatus: "FINE" }] }],
  ])("health: %s", (_what, change) =>
    withStore(async (backend, double) => {
      double.misbehave = spoil(() => ({ ...HEALTH, ...change }));
      expect(await refusal(backend.check(STORE_REQUEST))).toMatchObject({ error: "XksProxyInvalidResponseException" });
    }),
  );

  test("health: every key manager unavailable is a proxy that can not be reached", () =>
    withStore(async (backend, double) => {
      double.misbehave = spoil(() => ({ ...HEALTH, ekmFleetDetails: [{ ...manager, healthStatus: "UNAVAILABLE" }] }));
      const wanted = { error: "XksProxyUriUnreachableException", code: "XKS_PROXY_NOT_REACHABLE" };
      expect(await refusal(backend.connect(STORE_REQUEST))).toMatchObject(wanted);
    }));
});

describe("the connection", () => {
  test("is kept: many calls one after the other are one connection", () =>
    withStore(async (backend, double) => {
      for (let i = 0; i < 5; i++) await encrypt(backend);
      expect(double.connections).toBe(1);
    }));

  test("that the proxy has closed in between is opened again", () =>
    withStore(async (backend, double) => {
      await encrypt(backend);
      double.closeIdle();
      expect(await decrypt(backend, await encrypt(backend))).toEqual(PLAINTEXT);
      expect(double.connections).toBe(2);
    }));

  test("that the proxy cuts each time is tried once more, not for ever", () =>
    withStore(async (backend, double) => {
      double.misbehave = { kind: "cut", after: "request" };
      expect((await refusal(encrypt(backend))).code).toBe("XKS_PROXY_NOT_REACHABLE");
      expect(double.connections).toBe(2);
    }));

  test("that is new is not tried again", async () => {
    await using double = await startXksDouble();
    await using backend = openExternalKeyStore(double.options());
    double.misbehave = { kind: "cut", after: "request" };
    expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe("XKS_PROXY_NOT_REACHABLE");
    expect(double.connections).toBe(1);
  });

  test.each([
    ["TLS 1.1", { maxVersion: "TLSv1.1" as const }],
    ["a certificate for another host", { hostNames: ["other.example.com"] }],
  ])("%s is refused", async (_what, how) => {
    await using double = await startXksDouble(how);
    await using backend = openExternalKeyStore(double.options());
    const wanted = { error: "XksProxyUriUnreachableException", code: "XKS_PROXY_INVALID_TLS_CONFIGURATION" };
    expect(await refusal(backend.connect(STORE_REQUEST))).toMatchObject(wanted);
  });

  test("a listener that never speaks TLS takes the time of a request and no more", async () => {
    await using double = await startXksDouble();
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const { port } = mute.address() as { port: number };
    const address = { host: "127.0.0.1", port };
    await using backend = openExternalKeyStore(double.options({ address, timeoutMs: 60 }));
    expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe("XKS_PROXY_INVALID_TLS_CONFIGURATION");
    for (const socket of sockets) socket.destroy();
    mute.close();
  });

  test("a request has 250 ms", async () => {
    await using double = await startXksDouble();
    const { timeoutMs: _, ...options } = double.options();
    await using backend = openExternalKeyStore(options);
    double.misbehave = { kind: "silent" };
    const started = performance.now();
    expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe("XKS_PROXY_TIMED_OUT");
    const took = performance.now() - started;
    expect(took).toBeGreaterThan(200);
    expect(took).toBeLessThan(2_000);
  });

  test("an answer that begins and does not end is late too", async () => {
    await using double = await startXksDouble();
    await using backend = await connected(double, { timeoutMs: 150 });
    double.misbehave = { kind: "stall" };
    expect((await refusal(encrypt(backend))).code).toBe("XKS_PROXY_TIMED_OUT");
  });

  test("a clock that is wrong is the proxy's refusal of the credential", async () => {
    await using double = await startXksDouble();
    await using backend = openExternalKeyStore(double.options({ now: () => new Date(Date.now() - 600_000) }));
    expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe("INVALID_CREDENTIALS");
  });
});

test("the proxy's message goes to the operator and not to the caller; the secret goes nowhere", () =>
  withStore(async (backend, double) => {
    double.misbehave = { kind: "error", status: 403, name: "AccessDeniedException", message: "rule 7 says no" };
    const { fault } = await refusal(encrypt(backend));
    expect(fault.body()).not.toContain("rule 7");
    expect(String(fault.cause)).toContain("rule 7 says no");
    const { rawSecretAccessKey } = double.options().credential;
    expect(JSON.stringify([fault, fault.stack, String(fault.cause)])).not.toContain(rawSecretAccessKey);
  }));

test.each([
  ["an endpoint with a port", { uriEndpoint: "https://xks.example.com:443" }],
  ["http", { uriEndpoint: "http://xks.example.com" }],
  ["another path", { uriPath: "/kms/xks" }],
  ["a short secret", { credential: { accessKeyId: "A".repeat(20), rawSecretAccessKey: "a".repeat(42) } }],
])("%s is the service's mistake", async (_what, overrides) => {
  await using double = await startXksDouble();
  expect(() => openExternalKeyStore(double.options(overrides))).toThrow(TypeError);
});
