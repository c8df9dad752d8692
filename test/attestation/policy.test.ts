import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  attestationPolicyFromJson,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { PCR } from "./test-pki.ts";

const complete = {
  kind: "nsm",
  roots: [AWS_NITRO_ROOT_G1],
  images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
  nonce: new Uint8Array(16),
  maxAgeMs: 60_000,
  userData: "unchecked",
  publicKey: "unchecked",
} as const;

/** The code and the field that the policy is refused for, before the document is looked at. */
async function refusal(policy: unknown): Promise<string> {
  try {
    await verifyAttestation(Uint8Array.of(0), policy as AttestationPolicy);
    return "accepted";
  } catch (error) {
    if (!isConfigError(error)) return "got as far as the document";
    return `${error.code} ${"field" in error.details ? error.details.field : ""}`;
  }
}

const without = (field: string): object =>
  Object.fromEntries(Object.entries(complete).filter(([name]) => name !== field));

describe("a policy that is incomplete is refused before any document is read", () => {
  test("the complete one is not", async () => {
    expect(await refusal(complete)).toBe("got as far as the document");
  });

  test.each(Object.keys(complete))("D30: %s missing", async (field) => {
    expect(await refusal(without(field))).toBe(`ERR_CONFIG_FIELD_MISSING ${field}`);
  });

  const zero = "00".repeat(48);
  test.each<[string, object | null, string]>([
    ["D30 null", null, "ERR_CONFIG_FIELD_INVALID policy"],
    ["D32 no root", { ...complete, roots: [] }, "ERR_CONFIG_FIELD_INVALID roots"],
    ["D32 an empty root", { ...complete, roots: [new Uint8Array(0)] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    ["D32 a root as text", { ...complete, roots: ["aws"] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    [
      "D30 a NitroTPM image of nothing",
      { ...complete, kind: "nitrotpm", images: [{}] },
      "ERR_CONFIG_FIELD_INVALID images[0]",
    ],
    ["D30 no image", { ...complete, images: [] }, "ERR_CONFIG_FIELD_INVALID images"],
    ["D30 an image of nothing", { ...complete, images: [{}] }, "ERR_CONFIG_FIELD_MISSING images[0].0"],
    ["D30 an array as image", { ...complete, images: [[]] }, "ERR_CONFIG_FIELD_INVALID images[0]"],
    ["PCR1 left out", { ...complete, images: [{ 0: PCR(1), 2: PCR(3) }] }, "ERR_CONFIG_FIELD_MISSING images[0].1"],
    [
      "PCR32",
      { ...complete, images: [{ ...complete.images[0], 32: PCR(1) }] },
      "ERR_CONFIG_FIELD_INVALID images[0].32",
    ],
    [
      "D31 94 digits",
      { ...complete, images: [{ ...complete.images[0], 0: "0".repeat(94) }] },
      "ERR_CONFIG_FIELD_INVALID images[0].0",
    ],
    [
      "D31 98 digits",
      { ...complete, images: [{ ...complete.images[0], 0: "1".repeat(98) }] },
      "ERR_CONFIG_FIELD_INVALID images[0].0",
    ],
    [
      "D31 47 bytes",
      { ...complete, images: [{ ...complete.images[0], 0: new Uint8Array(47) }] },
      "ERR_CONFIG_FIELD_INVALID images[0].0",
    ],
    ["D31 zero", { ...complete, images: [{ ...complete.images[0], 0: zero }] }, "ERR_CONFIG_FIELD_INVALID images[0].0"],
    ["N04 a nonce of 15 bytes", { ...complete, nonce: new Uint8Array(15) }, "ERR_CONFIG_FIELD_INVALID nonce"],
    ["a nonce as text", { ...complete, nonce: "0011" }, "ERR_CONFIG_FIELD_INVALID nonce"],
    ["maxAgeMs 0", { ...complete, maxAgeMs: 0 }, "ERR_CONFIG_FIELD_INVALID maxAgeMs"],
    ["maxAgeMs NaN", { ...complete, maxAgeMs: Number.NaN }, "ERR_CONFIG_FIELD_INVALID maxAgeMs"],
    ["maxAgeMs endless", { ...complete, maxAgeMs: Number.POSITIVE_INFINITY }, "ERR_CONFIG_FIELD_INVALID maxAgeMs"],
    ["kind guessed", { ...complete, kind: "auto" }, "ERR_CONFIG_FIELD_INVALID kind"],
    ["debug false", { ...complete, dangerouslyAllowDebug: false }, "ERR_CONFIG_FIELD_INVALID dangerouslyAllowDebug"],
    [
      "images with a hole",
      { ...complete, images: Object.assign(new Array(3), { 0: complete.images[0], 2: complete.images[0] }) },
      "ERR_CONFIG_FIELD_MISSING images[1]",
    ],
    ["images of holes", { ...complete, images: new Array(1) }, "ERR_CONFIG_FIELD_MISSING images[0]"],
    ["roots of holes", { ...complete, roots: new Array(1) }, "ERR_CONFIG_FIELD_MISSING roots[0]"],
    [
      "revokedImages of holes",
      { ...complete, revokedImages: new Array(1) },
      "ERR_CONFIG_FIELD_MISSING revokedImages[0]",
    ],
    ["fields on a prototype", Object.create(complete), "ERR_CONFIG_FIELD_MISSING kind"],
    [
      "user data fields on a prototype",
      {
        ...complete,
        userData: Object.assign(Object.create({ digest: "unchecked", minimumImageVersion: "unchecked" }), {
          purpose: "x",
        }),
      },
      "ERR_CONFIG_FIELD_MISSING userData.minimumImageVersion",
    ],
    ["revokedImages null", { ...complete, revokedImages: null }, "ERR_CONFIG_FIELD_INVALID revokedImages"],
    ["a revoked image of nothing", { ...complete, revokedImages: [{}] }, "ERR_CONFIG_FIELD_INVALID revokedImages[0]"],
    [
      "a revoked image in base64",
      { ...complete, revokedImages: [{ 0: "AQ==" }] },
      "ERR_CONFIG_FIELD_INVALID revokedImages[0].0",
    ],
    ["user data null", { ...complete, userData: null }, "ERR_CONFIG_FIELD_INVALID userData"],
    [
      "user data without a version",
      { ...complete, userData: { purpose: "x", digest: "unchecked" } },
      "ERR_CONFIG_FIELD_MISSING userData.minimumImageVersion",
    ],
    [
      "user data without a digest",
      { ...complete, userData: { purpose: "x", minimumImageVersion: 1 } },
      "ERR_CONFIG_FIELD_MISSING userData.digest",
    ],
    [
      "user data without a purpose",
      { ...complete, userData: { digest: "unchecked", minimumImageVersion: 1 } },
      "ERR_CONFIG_FIELD_MISSING userData.purpose",
    ],
    [
      "a purpose in capitals",
      { ...complete, userData: { purpose: "X", digest: "unchecked", minimumImageVersion: 1 } },
      "ERR_CONFIG_FIELD_INVALID userData.purpose",
    ],
    [
      "a version of 1.5",
      { ...complete, userData: { purpose: "x", digest: "unchecked", minimumImageVersion: 1.5 } },
      "ERR_CONFIG_FIELD_INVALID userData.minimumImageVersion",
    ],
    [
      "a digest of 47 bytes",
      { ...complete, userData: { purpose: "x", digest: new Uint8Array(47), minimumImageVersion: 1 } },
      "ERR_CONFIG_FIELD_INVALID userData.digest",
    ],
    [
      "an unknown field in user data",
      { ...complete, userData: { purpose: "x", digest: "unchecked", minimumImageVersion: 1, min: 2 } },
      "ERR_CONFIG_FIELD_UNKNOWN userData.min",
    ],
    ["D36 a typing error", { ...complete, skipChain: true }, "ERR_CONFIG_FIELD_UNKNOWN skipChain"],
  ])("%s", async (_, policy, wanted) => {
    expect(await refusal(policy)).toBe(wanted);
  });
});

test("the published schema has the policy's fields, and requires what the policy requires", () => {
  const path = fileURLToPath(new URL("../../schemas/attestation-policy.json", import.meta.url));
  const schema = JSON.parse(readFileSync(path, "utf8")) as { required: string[]; properties: object };
  expect(new Set(schema.required)).toEqual(new Set(Object.keys(complete)));
  expect(new Set(Object.keys(schema.properties))).toEqual(
    new Set(["$schema", ...Object.keys(complete), "revokedImages", "dangerouslyAllowDebug"]),
  );
});

describe("attestationPolicyFromJson", () => {
  const json = {
    kind: "nsm",
    roots: ["aws"],
    images: [{ 0: "01".repeat(48), 1: "02".repeat(48), 2: "03".repeat(48) }],
    nonce: "00".repeat(16),
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
  const verdictOf = async (changed: unknown): Promise<string> => {
    try {
      return await refusal(attestationPolicyFromJson(changed));
    } catch (error) {
      if (!isConfigError(error)) throw error;
      return `${error.code} ${"field" in error.details ? error.details.field : ""}`;
    }
  };

  test("reads the complete one", async () => {
    expect(await verdictOf(json)).toBe("got as far as the document");
    expect(attestationPolicyFromJson(json).roots).toEqual([AWS_NITRO_ROOT_G1]);
    const userData = { purpose: "result", digest: "05".repeat(48), minimumImageVersion: 3 };
    expect(await verdictOf({ ...json, userData, publicKey: "0102" })).toBe("got as far as the document");
  });

  test.each(Object.keys(json))("%s missing is named as in code", async (field) => {
    const rest = Object.fromEntries(Object.entries(json).filter(([name]) => name !== field));
    expect(await verdictOf(rest)).toBe(`ERR_CONFIG_FIELD_MISSING ${field}`);
  });

  test.each<[string, unknown, string]>([
    ["not an object", [json], "ERR_CONFIG_FIELD_INVALID policy"],
    ["null", null, "ERR_CONFIG_FIELD_INVALID policy"],
    ["a root of undefined", { ...json, roots: [undefined] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    ["a root by path", { ...json, roots: ["root.der"] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    ["a root without the word", { ...json, roots: [{ root: "AQ==" }] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    [
      "a root in broken base64",
      { ...json, roots: [{ dangerouslyTrustRoot: "AQ=" }] },
      "ERR_CONFIG_FIELD_INVALID roots[0]",
    ],
    [
      "a root that is no certificate",
      { ...json, roots: [{ dangerouslyTrustRoot: "AAAA" }] },
      "ERR_CONFIG_FIELD_INVALID roots[0]",
    ],
    ["an empty root", { ...json, roots: [{ dangerouslyTrustRoot: "" }] }, "ERR_CONFIG_FIELD_INVALID roots[0]"],
    ["a nonce with an odd digit", { ...json, nonce: "0".repeat(33) }, "ERR_CONFIG_FIELD_INVALID nonce"],
    ["a nonce in base64", { ...json, nonce: "AAAAAAAAAAAAAAAAAAAAAA==" }, "ERR_CONFIG_FIELD_INVALID nonce"],
    ["an unknown field", { ...json, comment: "x" }, "ERR_CONFIG_FIELD_UNKNOWN comment"],
    ["user data as a number", { ...json, userData: 1 }, "ERR_CONFIG_FIELD_INVALID userData"],
  ])("%s", async (_, changed, wanted) => {
    expect(await verdictOf(changed)).toBe(wanted);
  });
});
