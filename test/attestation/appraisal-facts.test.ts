/** What a refusal by policy says of itself: which register of which image, how many bytes were there, and -1 for none. */
import { describe, expect, test } from "vitest";
import { type AttestationPolicy, encodeUserData, verifyAttestation } from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import type { Forged } from "./cbor-writer.ts";
import { field, NONCE, policyFor } from "./row.ts";
import { type Edits, MODULE_ID, makeDocument, NOW, type PayloadFields, PCR } from "./test-pki.ts";

async function facts(edits: Edits, policy: Partial<AttestationPolicy> = {}): Promise<object> {
  const { document, root } = await makeDocument(edits);
  try {
    await verifyAttestation(document, { ...policyFor(root), ...policy }, { now: NOW, clockSkewMs: 0 });
  } catch (error) {
    if (isAttestationError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  return expect.unreachable("it was accepted");
}

describe("the register that differs", () => {
  const mismatch = (index: number, expected: Uint8Array, actual: Uint8Array): object => ({
    code: "ERR_ATTESTATION_PCR_MISMATCH",
    index,
    expected: toHex(expected),
    actual: toHex(actual),
  });
  const far = { 0: PCR(7), 1: PCR(8), 2: PCR(3) };
  const near = { 0: PCR(1), 1: PCR(9), 2: PCR(3) };
  const asNear = { 0: PCR(1), 1: PCR(2), 2: PCR(9) };

  test("is of the image that matches in most registers, wherever that stands in the list", async () => {
    expect(await facts({}, { images: [far, near] })).toEqual(mismatch(1, PCR(9), PCR(2)));
    expect(await facts({}, { images: [near, far] })).toEqual(mismatch(1, PCR(9), PCR(2)));
  });

  test("is of the first image where several are as near", async () => {
    expect(await facts({}, { images: [near, asNear] })).toEqual(mismatch(1, PCR(9), PCR(2)));
    expect(await facts({}, { images: [asNear, near] })).toEqual(mismatch(2, PCR(9), PCR(3)));
  });
});

test("zero in a NitroTPM's PCR0 is no debug mode: it measures firmware, not an enclave", async () => {
  const { document, root } = await makeDocument({
    payload: (fields: PayloadFields) => {
      fields.set(
        "nitrotpm_pcrs",
        new Map<Forged, Forged>([
          [0, PCR(0)],
          [7, PCR(4)],
        ]),
      );
      fields.delete("pcrs");
    },
  });
  const policy: AttestationPolicy = { ...policyFor(root), kind: "nitrotpm", images: [{ 7: PCR(4) }] };
  expect(await verifyAttestation(document, policy, { now: NOW })).toMatchObject({ kind: "nitrotpm", debug: false });
});

test.each([
  ["something before the instance", `x${MODULE_ID}`],
  ["a second instance before it", `i-0fedcba987654321f ${MODULE_ID}`],
  ["something behind the enclave", `${MODULE_ID}x`],
  ["a second enclave behind it", `${MODULE_ID}-enc0`],
])("a module_id with %s names no instance", async (_, moduleId) => {
  const expected = { code: "ERR_ATTESTATION_MODULE_ID_MISMATCH", moduleId };
  expect(await facts(field("module_id", moduleId))).toEqual(expected);
});

describe("sizes", () => {
  const MINIMUM = { purpose: "result", digest: PCR(5), minimumImageVersion: 7 } as const;
  const told = encodeUserData({ purpose: "kms", digest: PCR(5), imageVersion: 7 });

  test.each<[string, string, Forged, Partial<AttestationPolicy>, number, number]>([
    ["NONCE", "nonce", null, {}, 32, -1],
    ["NONCE", "nonce", NONCE.subarray(1), {}, 32, 31],
    ["PUBLIC_KEY", "public_key", null, { publicKey: PCR(1) }, 48, -1],
    ["PUBLIC_KEY", "public_key", PCR(2).subarray(1), { publicKey: PCR(1) }, 48, 47],
    ["USER_DATA", "user_data", null, { userData: PCR(1) }, 48, -1],
    ["USER_DATA", "user_data", null, { userData: MINIMUM }, 48, -1],
    ["USER_DATA", "user_data", told, { userData: MINIMUM }, 48, told.length],
    ["USER_DATA", "user_data", told, { userData: { ...MINIMUM, digest: "unchecked" } }, 0, told.length],
  ])("%s: %s of %o under %o", async (area, name, value, policy, expectedBytes, actualBytes) => {
    const expected = { code: `ERR_ATTESTATION_${area}_MISMATCH`, expectedBytes, actualBytes };
    expect(await facts(field(name, value), policy)).toEqual(expected);
  });

  test("an image that says no version says less than zero", async () => {
    const unversioned = field("user_data", encodeUserData({ purpose: "result", digest: PCR(5) }));
    const refused = { code: "ERR_ATTESTATION_IMAGE_VERSION", actual: -1 };
    expect(await facts(unversioned, { userData: MINIMUM })).toEqual({ ...refused, minimum: 7 });
    const zero = { ...MINIMUM, minimumImageVersion: 0 };
    expect(await facts(unversioned, { userData: zero })).toEqual({ ...refused, minimum: 0 });
  });
});
