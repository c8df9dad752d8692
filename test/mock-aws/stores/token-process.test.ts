/** What a token's process survives, and which code each PKCS#11 value becomes; with a package that plays the token. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { KeyStoreBackend } from "../../../mock/aws/kms/stores/backend.ts";
import { openCloudHsmStore } from "../../../mock/aws/kms/stores/cloudhsm.ts";
import { isConfigError } from "../../../shared/errors/index.ts";
import { CONTEXT, keyRequest, MATERIAL, PLAINTEXT, refusal, STORE_REQUEST } from "./xks-calls.ts";

const pkcs11js = fileURLToPath(new URL("fake-pkcs11js.cjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "token-"));
afterAll(() => rmSync(folder, { recursive: true }));

function open(mode: string, timeoutMs = 5_000): KeyStoreBackend {
  const environment = { FAKE_TOKEN: mode, FAKE_STATE: join(folder, mode) };
  const password = "kmsPswd-7x";
  return openCloudHsmStore({ library: pkcs11js, tokenLabel: "fake", password, pkcs11js, environment, timeoutMs });
}

function encrypt(backend: KeyStoreBackend): Promise<Uint8Array> {
  const what = { additionalData: CONTEXT, kmsMaterial: MATERIAL, plaintext: PLAINTEXT };
  return backend.encrypt({ keyId: "key", request: keyRequest("Encrypt"), ...what });
}

test.each([
  ["CKR_PIN_INCORRECT", "INVALID_CREDENTIALS"],
  ["CKR_PIN_LEN_RANGE", "INVALID_CREDENTIALS"],
  ["CKR_PIN_LOCKED", "USER_LOCKED_OUT"],
  ["CKR_USER_PIN_NOT_INITIALIZED", "USER_NOT_FOUND"],
  ["CKR_USER_ANOTHER_ALREADY_LOGGED_IN", "USER_LOGGED_IN"],
  ["CKR_TOKEN_NOT_PRESENT", "INSUFFICIENT_CLOUDHSM_HSMS"],
  ["no-slot", "INSUFFICIENT_CLOUDHSM_HSMS"],
  ["initialize-fails", "NETWORK_ERRORS"],
  ["CKR_HOST_MEMORY", "INTERNAL_ERROR"],
])("connecting: %s → %s", async (mode, code) => {
  await using backend = open(mode);
  expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe(code);
});

test("a library that hangs is ended after its time", async () => {
  await using backend = open("hangs-at-once", 400);
  expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe("NETWORK_ERRORS");
});

test("a call that hangs fails, the event loop goes on, and the next call has a new session", async () => {
  await using backend = open("hangs-once", 1_500);
  await backend.connect(STORE_REQUEST);
  let turns = 0;
  const clock = setInterval(() => turns++, 10);
  const refused = await refusal(encrypt(backend));
  clearInterval(clock);
  expect(refused).toMatchObject({ error: "KMSInvalidStateException", code: "NETWORK_ERRORS" });
  expect(turns).toBeGreaterThan(5);
  expect((await encrypt(backend)).length).toBeGreaterThan(28);
});

describe("a library that crashes", () => {
  test("once: the call is done in a new process", async () => {
    await using backend = open("crashes-once");
    await backend.connect(STORE_REQUEST);
    expect((await encrypt(backend)).length).toBeGreaterThan(28);
  });

  test("each time: the call fails, and the emulator lives", async () => {
    await using backend = open("crashes");
    await backend.connect(STORE_REQUEST);
    const wanted = { error: "KMSInvalidStateException", code: "INTERNAL_ERROR" };
    expect(await refusal(encrypt(backend))).toMatchObject(wanted);
  });
});

test("a call that the token refuses says why, to the operator", async () => {
  await using backend = open("refuses");
  await backend.connect(STORE_REQUEST);
  const { fault } = await refusal(encrypt(backend));
  expect(String(fault.cause)).toContain("CKR_MECHANISM_INVALID");
});

test("calls that find one session gone share the next", async () => {
  await using backend = open("logged-out-at-first");
  await backend.connect(STORE_REQUEST);
  const blobs = await Promise.all(Array.from({ length: 8 }, () => encrypt(backend)));
  expect(blobs).toHaveLength(8);
  expect(readFileSync(join(folder, "logged-out-at-first"), "utf8")).toBe("opened\n".repeat(2));
});

test("the vector that the token made is the one in the blob", async () => {
  await using backend = open("makes-vector");
  await backend.connect(STORE_REQUEST);
  expect((await encrypt(backend)).subarray(1, 13)).toEqual(new Uint8Array(12).fill(9));
  await using other = open("takes-vector");
  await other.connect(STORE_REQUEST);
  expect((await encrypt(other)).subarray(1, 13)).toEqual(new Uint8Array(12).fill(1));
});

test("a library that is not there is a mistake of configuration", () => {
  const code = (): unknown => {
    try {
      openCloudHsmStore({ library: join(folder, "none.so"), tokenLabel: "fake", password: "kmsPswd-7x", pkcs11js });
      return undefined;
    } catch (error) {
      return isConfigError(error) && error.code;
    }
  };
  expect(code()).toBe("ERR_CONFIG_FILE");
});
