/** Authentication by itself: several anchors, the certificate that a refusal names, and the last moment of a leaf. */
import { describe, expect, test } from "vitest";
import { type AuthenticateOptions, authenticateAttestation } from "../../shared/attestation/authenticate.ts";
import { dangerouslyTrustRoot, isVerifiedAttestation } from "../../shared/attestation/index.ts";
import { isAttestationError, isEncodingError } from "../../shared/errors/index.ts";
import { certificate } from "./row.ts";
import { type Edits, MODULE_ID, makeDocument, NOW, PCR } from "./test-pki.ts";

async function authenticated(
  edits: Edits = {},
  options: Partial<AuthenticateOptions> = {},
): ReturnType<typeof authenticateAttestation> {
  const { document, root } = await makeDocument(edits);
  return authenticateAttestation(document, { roots: [dangerouslyTrustRoot(root)], now: NOW, ...options });
}

async function refusal(edits: Edits, now = NOW): Promise<{ code: string; details: object; cause: unknown }> {
  const error: unknown = await authenticated(edits, { now }).catch((reason: unknown) => reason);
  if (!isAttestationError(error)) throw error;
  return { code: error.code, details: error.details, cause: error.cause };
}

test("gives the claims, the end of the leaf, and nothing that counts as verified", async () => {
  const claims = await authenticated();
  expect(claims).toMatchObject({
    authentic: true,
    kind: "nsm",
    moduleId: MODULE_ID,
    timestamp: new Date(NOW.getTime() - 1_000),
    certificateExpires: new Date(NOW.getTime() + 7_200_000),
  });
  expect(claims.pcrs.get(0)).toEqual(PCR(1));
  expect(isVerifiedAttestation(claims)).toBe(false);
});

describe("of several anchors", () => {
  const other = dangerouslyTrustRoot(Uint8Array.of(1));
  test.each([
    ["the first", (root: Uint8Array) => [dangerouslyTrustRoot(root), other]],
    ["the last", (root: Uint8Array) => [other, dangerouslyTrustRoot(root)]],
    ["one in the middle", (root: Uint8Array) => [other, dangerouslyTrustRoot(root), other]],
  ])("%s is enough", async (_, rootsOf) => {
    const { document, root } = await makeDocument();
    expect((await authenticateAttestation(document, { roots: rootsOf(root), now: NOW })).authentic).toBe(true);
  });

  test("one must be the document's", async () => {
    await expect(authenticated({}, { roots: [other, other] })).rejects.toMatchObject({
      code: "ERR_ATTESTATION_ROOT_UNTRUSTED",
    });
  });
});

describe("a refusal of a chain", () => {
  test.each([0, 1, 2, 3, 4])("names certificate %i, whose key is not on the curve", async (index) => {
    const { code, details, cause } = await refusal(
      certificate(index, (recipe) => {
        recipe.parts = (parts) => void (parts.publicKey = parts.publicKey.with(-1, (parts.publicKey.at(-1) ?? 0) ^ 1));
      }),
    );
    expect({ code, ...details }).toMatchObject({ code: "ERR_ATTESTATION_CHAIN", certificate: index });
    expect(cause).toBeInstanceOf(DOMException);
  });

  test.each([0, 1, 4])("names certificate %i, which is no DER, and keeps the reader's words", async (index) => {
    const { code, details, cause } = await refusal(
      certificate(index, (recipe) => void (recipe.parts = (parts) => void (parts.serial = Uint8Array.of(2, 0)))),
    );
    expect({ code, ...details }).toMatchObject({ code: "ERR_ATTESTATION_CHAIN", certificate: index });
    expect(isEncodingError(cause)).toBe(true);
  });
});

describe("a leaf lasts to the end of its last second", () => {
  const ended = new Date(NOW.getTime() - 1_000);
  const made = (ms: number): Edits => ({
    ...certificate(4, (recipe) => void (recipe.notAfter = ended)),
    payload: (fields) => void fields.set("timestamp", BigInt(ended.getTime() + ms)),
  });
  const options = { clockSkewMs: 60_000 };

  test("and signs in its last millisecond", async () => {
    expect((await authenticated(made(999), options)).certificateExpires).toEqual(ended);
  });

  test("and not in the next", async () => {
    await expect(authenticated(made(1_000), options)).rejects.toMatchObject({ code: "ERR_ATTESTATION_TIMESTAMP" });
  });
});
