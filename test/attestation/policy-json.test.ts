/** Policies in JSON: a root that is named is the root that is trusted, and each form stands for one value. */
import { beforeAll, describe, expect, test } from "vitest";
import {
  AWS_NITRO_ROOT_G1,
  attestationPolicyFromJson,
  dangerouslyTrustRoot,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { bits, signatureValue } from "./der-writer.ts";
import { certificate, NONCE } from "./row.ts";
import { type CertificateRecipe, makeChain, makeDocument, NOW, PCR } from "./test-pki.ts";

const json = {
  kind: "nsm",
  roots: ["aws"] as unknown[],
  images: [{ 0: toHex(PCR(1)), 1: toHex(PCR(2)), 2: toHex(PCR(3)) }],
  nonce: toHex(NONCE),
  maxAgeMs: 60_000,
  userData: "unchecked",
  publicKey: "unchecked",
};
const base64 = (der: Uint8Array): string => Buffer.from(der).toString("base64");

function facts(value: unknown): object {
  try {
    attestationPolicyFromJson(value);
  } catch (error) {
    if (isConfigError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  return expect.unreachable("it was read");
}

describe("a root by its bytes", () => {
  let document: Uint8Array;
  let root: Uint8Array;
  beforeAll(async () => void ({ document, root } = await makeDocument()));

  test("is read as it is written, and trusted", async () => {
    const policy = attestationPolicyFromJson({ ...json, roots: [{ dangerouslyTrustRoot: base64(root) }] });
    expect(policy.roots).toEqual([dangerouslyTrustRoot(root)]);
    const attestation = await verifyAttestation(document, policy, { now: NOW });
    expect(attestation.pcrs.get(0)).toEqual(PCR(1));
  });

  test("stands beside AWS's, in the order of the list", () => {
    const roots = ["aws", { dangerouslyTrustRoot: base64(root) }];
    expect(attestationPolicyFromJson({ ...json, roots }).roots).toEqual([AWS_NITRO_ROOT_G1, root]);
  });

  test.each<[string, (good: string) => unknown]>([
    ["with another field beside it", (good) => ({ dangerouslyTrustRoot: good, comment: "ours" })],
    ["in a list", (good) => ({ dangerouslyTrustRoot: [good] })],
    ["without its name", (good) => good],
    ["under another name", (good) => ({ trustRoot: good })],
    ["with a space behind", (good) => ({ dangerouslyTrustRoot: `${good} ` })],
    ["in lines", (good) => ({ dangerouslyTrustRoot: good.replace(/(.{64})/g, "$1\n") })],
    ["without its last byte", () => ({ dangerouslyTrustRoot: base64(root.subarray(0, -1)) })],
    ["with a byte behind", () => ({ dangerouslyTrustRoot: base64(Uint8Array.from([...root, 0])) })],
  ])("is refused %s", (_, rootOf) => {
    expect(facts({ ...json, roots: [rootOf(base64(root))] })).toMatchObject({
      code: "ERR_CONFIG_FIELD_INVALID",
      field: "roots[0]",
    });
  });

  test("is refused where it could vouch for nobody: no extension, so no authority", async () => {
    const { certificates } = await makeChain(certificate(0, (recipe) => void (recipe.extensions = [])).chain);
    const roots = certificates.slice(0, 1).map((der) => ({ dangerouslyTrustRoot: base64(der) }));
    expect(facts({ ...json, roots })).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID", field: "roots[0]" });
  });
});

describe("base64 of a root", () => {
  /** A certificate whose length leaves `rest` when it is divided by three; nothing in it is left to chance. */
  async function rootOf(rest: number): Promise<Uint8Array> {
    for (const subject of ["CN=a", "CN=ab", "CN=abc", "CN=abcd", "CN=abcde"]) {
      const edit = (recipe: CertificateRecipe): void => {
        recipe.subject = subject;
        recipe.parts = (parts) => void (parts.signature = () => bits(signatureValue(new Uint8Array(96).fill(1))));
      };
      const { certificates } = await makeChain(certificate(4, edit).chain);
      const der = certificates.at(-1);
      if (der?.length && der.length % 3 === rest) return der;
    }
    return expect.unreachable("five lengths in a row leave every rest");
  }

  test.each([
    [0, ""],
    [1, "=="],
    [2, "="],
  ])("of 3n + %i bytes ends in %o, and in nothing else", async (rest, padding) => {
    const der = await rootOf(rest);
    const digits = base64(der).replace(/=+$/, "");
    const read = (ending: string): object => ({ ...json, roots: [{ dangerouslyTrustRoot: digits + ending }] });
    expect(attestationPolicyFromJson(read(padding)).roots).toEqual([der]);
    for (const other of ["", "=", "==", "===", `${padding}\n`].filter((ending) => ending !== padding)) {
      expect(facts(read(other)), other).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID", field: "roots[0]" });
    }
  });
});

describe("what is left out stays left out, for verifyAttestation to name", () => {
  test.each(["nonce", "publicKey", "userData"] as const)("%s", (field) => {
    const rest = Object.fromEntries(Object.entries(json).filter(([name]) => name !== field));
    expect(attestationPolicyFromJson(rest)[field]).toBeUndefined();
  });

  test("userData.digest", () => {
    const userData = { purpose: "result", minimumImageVersion: 3 };
    expect(attestationPolicyFromJson({ ...json, userData }).userData).toEqual({ ...userData, digest: undefined });
  });
});

describe("a field of another type is refused, though its text would be hex", () => {
  test.each([
    ["nonce", 11],
    ["nonce", [toHex(NONCE)]],
    ["publicKey", 1234],
    ["publicKey", null],
    ["userData", 11],
    ["userData", [toHex(PCR(1))]],
  ])("%s of %o", (field, value) => {
    expect(facts({ ...json, [field]: value })).toEqual({
      code: "ERR_CONFIG_FIELD_INVALID",
      field,
      expected: expect.stringContaining("hex"),
      actual: typeof value,
    });
  });
});

test.each([
  ["nothing at all", undefined, "object"],
  ["null", null, "object"],
  ["a list", [json], "object"],
  ["text", JSON.stringify(json), "string"],
  ["a number", 0, "number"],
  ["false", false, "boolean"],
])("%s is no policy", (_, value, actual) => {
  expect(facts(value)).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID", field: "policy", actual });
});
