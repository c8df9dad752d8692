/**
 * An enclave's answer and everything that a parent could do to it on the way.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type VerifyResultOptions, verifyResult } from "../../client/result.ts";
import { createResultSigner } from "../../enclave/result.ts";
import { createMockNsm } from "../../mock/testing.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import type { SignedResultJson } from "../../shared/result/signed-result.ts";

const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
const nonce = new Uint8Array(32).fill(1);
const question = "POST /queries/a";
const result = JSON.stringify({ groups: [1, 2], note: "\ufffd" });
let answer: SignedResultJson;
let other: SignedResultJson;
let options: VerifyResultOptions;

beforeAll(async () => {
  const measurements = { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) };
  const { device, rootCertificate } = await createMockNsm({ measurements });
  const signer = await createResultSigner(device);
  answer = await signer.sign({ question, result }, nonce);
  other = await (await createResultSigner(device)).sign({ question, result }, nonce);
  const images = [{ 0: pcr(1), 1: pcr(2), 2: pcr(3) }] as const;
  const policy = { kind: "nsm", roots: [dangerouslyTrustRoot(rootCertificate)], images, maxAgeMs: 60_000 } as const;
  options = { policy, question, nonce };
});

async function verdict(changed: unknown, changes: Partial<VerifyResultOptions> = {}): Promise<string> {
  try {
    await verifyResult(changed as SignedResultJson, { ...options, ...changes });
    return "accepted";
  } catch (error) {
    if (!isToolkitError(error)) throw error;
    return error.code;
  }
}

const USER_DATA = "ERR_ATTESTATION_USER_DATA_MISMATCH";
const SIGNATURE = "ERR_DATA_RESULT_SIGNATURE";

describe("verifyResult", () => {
  test("gives back the result and who made it", async () => {
    const verified = await verifyResult(answer, options);
    expect(verified.result).toBe(result);
    expect(verified.attestation.debug).toBe(false);
  });

  test("refuses another question, result or challenge", async () => {
    expect(await verdict(answer, { question: "POST /queries/b" })).toBe(USER_DATA);
    expect(await verdict(answer, { question: "POST /queries/a " })).toBe(USER_DATA);
    expect(await verdict({ ...answer, result: `${result} ` })).toBe(USER_DATA);
    expect(await verdict(answer, { nonce: nonce.with(0, 2) })).toBe("ERR_ATTESTATION_NONCE_MISMATCH");
  });

  test("refuses a byte that moved from the question to the result", async () => {
    expect(await verdict({ ...answer, result: `a${result}` }, { question: "POST /queries/" })).toBe(USER_DATA);
  });

  test("refuses a signature of another key that the same image attested", async () => {
    expect(await verdict({ ...answer, signature: other.signature })).toBe(SIGNATURE);
    expect(await verdict({ ...answer, document: other.document })).toBe(SIGNATURE);
    expect(await verdict(other)).toBe("accepted");
  });

  test("refuses text that only looks the same once encoded", async () => {
    expect(await verdict({ ...answer, result: result.replace("\ufffd", "\ud800") })).toBe(SIGNATURE);
  });

  test("reads each field once", async () => {
    let reads = 0;
    const shifting = {
      ...answer,
      get result() {
        return reads++ === 0 ? result : '{"evil":true}';
      },
    };
    expect((await verifyResult(shifting, options)).result).toBe(result);
  });

  test.each([
    ["an array as result", () => ({ ...answer, result: [result] })],
    ["nothing", () => ({})],
    ["a signature that is not base64", () => ({ ...answer, signature: "*" })],
    ["a signature of 95 bytes", () => ({ ...answer, signature: Buffer.alloc(95, 1).toString("base64") })],
    ["an empty signature", () => ({ ...answer, signature: "" })],
    ["a document without padding", () => ({ ...answer, document: "abc" })],
  ])("refuses %s", async (_, make) => {
    expect(await verdict(make())).toBe(SIGNATURE);
  });
});

describe("a result signer", () => {
  test("does not sign text that has no UTF-8", async () => {
    const { device } = await createMockNsm({ measurements: { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) } });
    const signer = await createResultSigner(device);
    await expect(signer.sign({ question, result: "\ud800" }, nonce)).rejects.toThrow(TypeError);
  });
});
