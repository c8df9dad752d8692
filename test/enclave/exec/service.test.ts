/**
 * The loopback service's strictness: what a program sends is read in one form or refused by name, and never repeated.
 */
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { createExecService, type ServiceParts } from "../../../enclave/exec/service.ts";
import { createToken } from "../../../enclave/exec/token.ts";
import { isToolkitError, NsmError } from "../../../shared/errors/index.ts";

const CANARY = "canary-5c0ffee0";
const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const base64 = (bytes: number): string => Buffer.alloc(bytes, 7).toString("base64");
const token = createToken();

/** What the enclave does; it notes what it was asked for. */
function enclave(): { env: ServiceParts["env"]; asked: unknown[]; secret: Uint8Array } {
  const asked: unknown[] = [];
  const secret = new Uint8Array(Buffer.from(CANARY));
  const kms = (region: string) => ({
    decrypt: async (input: object) => {
      asked.push({ region, ...input });
      return { Plaintext: secret };
    },
    generateDataKey: async (input: object) => {
      asked.push({ region, ...input });
      return { Plaintext: secret, CiphertextBlob: new Uint8Array(8) };
    },
  });
  const env = {
    attest: (request: { readonly purpose: string }) => {
      asked.push(request);
      if (request.purpose === "kms") throw new TypeError("kms is a purpose of the toolkit's own");
      if (request.purpose === "closed")
        throw new NsmError("ERR_NSM_REFUSED", { operation: "Attestation", reason: "InternalError" });
      return Promise.resolve(new Uint8Array(16).fill(3));
    },
    kms,
    credentials: () => Promise.reject(new TypeError("not asked for")),
  };
  return { env: env as unknown as ServiceParts["env"], asked, secret };
}

interface Asking {
  readonly route?: string;
  readonly body?: string | Uint8Array;
  readonly authorization?: string | undefined;
}

async function ask({ env }: Pick<ReturnType<typeof enclave>, "env">, asking: Asking): Promise<unknown> {
  const { route = "POST /v1/attest", body, authorization = token.bearer } = asking;
  const [method = "", path = ""] = route.split(" ");
  const headers = authorization === "none" ? {} : { authorization };
  const request = new Request(`http://enclave${path}`, { method, headers, ...(body !== undefined && { body }) });
  try {
    const response = await createExecService({ env, token })(request);
    return response.status === 200 ? await response.json() : response.status;
  } catch (error) {
    if (!isToolkitError(error)) throw error;
    // What goes out, and whatever else a log could show of it.
    expect(JSON.stringify(error.toJSON()) + inspect(error, { depth: null })).not.toContain(CANARY);
    return error.code;
  }
}

const attest = (changes: object): string => JSON.stringify({ purpose: "receipt", digest: base64(48), ...changes });
const decrypt = (changes: object): string =>
  JSON.stringify({ keyArn: ARN, ciphertext: base64(100), context: { a: "b" }, ...changes });

describe("the token", () => {
  test.each([
    ["none", "ERR_ENCLAVE_TOKEN"],
    ["", "ERR_ENCLAVE_TOKEN"],
    [token.text, "ERR_ENCLAVE_TOKEN"],
    [`Bearer ${token.text.slice(0, -1)}`, "ERR_ENCLAVE_TOKEN"],
    [`Bearer ${createToken().text}`, "ERR_ENCLAVE_TOKEN"],
    [token.bearer, { document: expect.any(String) }],
    [`Basic ${Buffer.from(token.userinfo).toString("base64")}`, { document: expect.any(String) }],
  ])("%s", async (authorization, expected) => {
    expect(await ask(enclave(), { body: attest({}), authorization })).toEqual(expected);
  });

  test("is asked for before anything is read, on every route", async () => {
    for (const route of ["POST /v1/attest", "GET /v1/credentials", "POST /nowhere"]) {
      const body = route.startsWith("GET") ? {} : { body: "{" };
      expect(await ask(enclave(), { route, ...body, authorization: "none" })).toBe("ERR_ENCLAVE_TOKEN");
    }
  });
});

describe("attestation", () => {
  test("is asked of NSM with these fields", async () => {
    const at = enclave();
    const answer = await ask(at, { body: attest({ nonce: base64(16), publicKey: base64(97) }) });
    expect(answer).toEqual({ document: Buffer.alloc(16, 3).toString("base64") });
    const filled = (length: number): Uint8Array => new Uint8Array(length).fill(7);
    expect(at.asked).toEqual([{ purpose: "receipt", digest: filled(48), nonce: filled(16), publicKey: filled(97) }]);
    await ask(at, { body: attest({}) });
    expect(Object.keys(at.asked[1] as object)).toEqual(["purpose", "digest"]);
  });

  test.each<[string, string, string]>([
    ["no JSON", CANARY, "ERR_CONFIG_FIELD_INVALID"],
    ["nothing", "", "ERR_CONFIG_FIELD_INVALID"],
    ["a list", "[]", "ERR_CONFIG_FIELD_INVALID"],
    ["a key twice", `{"purpose":"${CANARY}","purpose":"receipt","digest":"${base64(48)}"}`, "ERR_CONFIG_FIELD_INVALID"],
    ["__proto__", `{"__proto__":{"digest":"${base64(48)}"},"purpose":"receipt"}`, "ERR_CONFIG_FIELD_INVALID"],
    ["another field", attest({ [CANARY]: 1 }), "ERR_CONFIG_FIELD_UNKNOWN"],
    ["no purpose", attest({ purpose: undefined }), "ERR_CONFIG_FIELD_MISSING"],
    ["a purpose of another form", attest({ purpose: `${CANARY}!` }), "ERR_CONFIG_FIELD_INVALID"],
    ["the toolkit's own purpose", attest({ purpose: "kms" }), "ERR_CONFIG_FIELD_INVALID"],
    ["no digest", attest({ digest: undefined }), "ERR_CONFIG_FIELD_MISSING"],
    ["a digest of 47 bytes", attest({ digest: base64(47) }), "ERR_CONFIG_FIELD_INVALID"],
    ["a digest of 49 bytes", attest({ digest: base64(49) }), "ERR_CONFIG_FIELD_INVALID"],
    ["a digest as hex", attest({ digest: "ab".repeat(48) }), "ERR_CONFIG_FIELD_INVALID"],
    ["base64 of another spelling", attest({ nonce: "QR==" }), "ERR_CONFIG_FIELD_INVALID"],
    ["base64url", attest({ nonce: "-_-_" }), "ERR_CONFIG_FIELD_INVALID"],
    ["an empty nonce", attest({ nonce: "" }), "ERR_CONFIG_FIELD_INVALID"],
    ["a nonce of 513 bytes", attest({ nonce: base64(513) }), "ERR_CONFIG_FIELD_INVALID"],
    ["a nonce that is null", attest({ nonce: null }), "ERR_CONFIG_FIELD_INVALID"],
    ["a key of 1 025 bytes", attest({ publicKey: base64(1025) }), "ERR_CONFIG_FIELD_INVALID"],
    ["a number", attest({ digest: 48 }), "ERR_CONFIG_FIELD_INVALID"],
    ["NSM's refusal", attest({ purpose: "closed" }), "ERR_NSM_REFUSED"],
  ])("is refused: %s", async (_, body, code) => {
    expect(await ask(enclave(), { body })).toBe(code);
  });

  test("takes the largest nonce and key", async () => {
    const body = attest({ nonce: base64(512), publicKey: base64(1024) });
    expect(await ask(enclave(), { body })).toEqual({ document: expect.any(String) });
  });
});

describe("KMS", () => {
  const route = "POST /v1/kms/decrypt";

  test("is asked in the key's region, under its full ARN and this context; the bytes are overwritten", async () => {
    const at = enclave();
    expect(await ask(at, { route, body: decrypt({}) })).toEqual({ plaintext: Buffer.from(CANARY).toString("base64") });
    expect(at.secret).toEqual(new Uint8Array(CANARY.length));
    expect(at.asked).toEqual([
      {
        ...{ region: "eu-central-1", KeyId: ARN, EncryptionContext: { a: "b" } },
        CiphertextBlob: new Uint8Array(100).fill(7),
      },
    ]);
    const made = await ask(enclave(), {
      route: "POST /v1/kms/generate-data-key",
      body: JSON.stringify({ keyArn: ARN, context: {} }),
    });
    expect(made).toEqual({ plaintext: Buffer.from(CANARY).toString("base64"), ciphertext: "AAAAAAAAAAA=" });
  });

  test.each<[string, object, string]>([
    ["no key", { keyArn: undefined }, "ERR_CONFIG_FIELD_MISSING"],
    ["a key id", { keyArn: "1234abcd-12ab-34cd-56ef-1234567890ab" }, "ERR_CONFIG_FIELD_INVALID"],
    ["an alias", { keyArn: "arn:aws:kms:eu-central-1:111122223333:alias/x" }, "ERR_CONFIG_FIELD_INVALID"],
    ["no region", { keyArn: ARN.replace("eu-central-1", "") }, "ERR_CONFIG_FIELD_INVALID"],
    ["a host for a region", { keyArn: ARN.replace("eu-central-1", "x.example") }, "ERR_CONFIG_FIELD_INVALID"],
    ["no context", { context: undefined }, "ERR_CONFIG_FIELD_MISSING"],
    ["a context of other things", { context: { a: 1, b: CANARY } }, "ERR_CONFIG_FIELD_INVALID"],
    ["a context that is a text", { context: CANARY }, "ERR_CONFIG_FIELD_INVALID"],
    ["no ciphertext", { ciphertext: "" }, "ERR_CONFIG_FIELD_INVALID"],
    ["a ciphertext of 6 145 bytes", { ciphertext: base64(6145) }, "ERR_CONFIG_FIELD_INVALID"],
    ["a grant", { grantTokens: [CANARY] }, "ERR_CONFIG_FIELD_UNKNOWN"],
  ])("is not asked: %s", async (_, changes, code) => {
    const at = enclave();
    expect(await ask(at, { route, body: decrypt(changes) })).toBe(code);
    expect(at.asked).toEqual([]);
  });

  test("its own exceptions become refusals by name", async () => {
    const refusing = {
      decrypt: () => Promise.reject(Object.assign(new Error("x"), { name: "AccessDeniedException" })),
    };
    const env = { ...enclave().env, kms: () => refusing } as unknown as ServiceParts["env"];
    expect(await ask({ env }, { route, body: decrypt({}) })).toBe("ERR_KMS_ACCESS_DENIED");
  });
});

test.each([
  "GET /v1/attest",
  "POST /v1/credentials",
  "POST /v1/attest/",
  "POST /",
  "DELETE /v1/credentials",
  "POST /v1/constructor",
])("%s is no route", async (route) => {
  expect(await ask(enclave(), { route, ...(route.startsWith("POST") && { body: "{}" }) })).toBe(404);
});

test("two tokens are not alike, and have 256 bits", () => {
  const texts = Array.from({ length: 8 }, () => createToken().text);
  expect(new Set(texts.map((text) => createHash("sha256").update(text).digest("hex"))).size).toBe(8);
  expect(inspect({ token }, { depth: null })).not.toContain(token.text);
  for (const text of texts) expect(Buffer.from(text, "base64url").length).toBe(32);
});
