import { createHash, verify, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createSoftwareNsm } from "../../mock/nsm/device.ts";
import { createMockNsm, createPki } from "../../mock/nsm/index.ts";
import { fromHex, isAllZero, toHex, utf8 } from "../../shared/bytes.ts";
import { type Cbor, decodeCbor } from "../../shared/cbor/decode.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { encodeNsmRequest, encodeNsmResponse } from "../../shared/nsm/messages.ts";
import { decodeNsmResponse } from "../../shared/nsm/parse.ts";
import { claimsOf } from "../nsm/suite.ts";
import { hasVectors, vector } from "../vectors.ts";

const now = () => new Date("2026-02-06T08:24:18.452Z");
const instanceId = "i-0123456789abcdef0";
const parentRoleArn = "arn:aws:iam::123456789012:role/parent";
const measurements = measureEif({ kernel: utf8("k"), cmdline: utf8("c"), ramdisks: [utf8("i"), utf8("a")] });
const options = async () => ({ measurements: await measurements, instanceId, parentRoleArn, now });
const attest = async (change: object = {}) =>
  (await createMockNsm({ ...(await options()), ...change })).device.attest({});
const extended = (text: string) => createHash("sha384").update(Buffer.alloc(48)).update(text).digest("hex");

describe("the document", () => {
  test("has the bytes that NSM emits today", async () => {
    const document = toHex(await attest());
    expect(document).toMatch(/^8444a1013822a059[0-9a-f]{4}bf696d6f64756c655f6964/);
    const cose = decodeCbor(fromHex(document), { maxDepth: 4, indefinite: false }) as Cbor[];
    expect(toHex(cose[2] as Uint8Array).slice(-2)).toBe("ff");
    expect((cose[3] as Uint8Array).length).toBe(96);
    expect(document.slice(-196, -192)).toBe("5860");
  });

  test.skipIf(!hasVectors)("has a genuine document's opening, key order and types", async () => {
    const genuine = vector("attestation/20260206-i-0761a4cbcc7632aef-1ad417fa.cose");
    const mock = await attest();
    expect([...claimsOf(mock).keys()]).toEqual([...claimsOf(genuine).keys()]);
    expect([toHex(mock.subarray(0, 8)), toHex(mock.subarray(10, 22))]).toEqual([
      toHex(genuine.subarray(0, 8)),
      toHex(genuine.subarray(10, 22)),
    ]);
    // module_id, digest, timestamp (64 bits), pcrs (b0): the same heads in front of other values.
    const heads = (bytes: Uint8Array) =>
      /66646967657374.{12,16}6974696d657374616d701b.{16}6470637273b0005830/.test(toHex(bytes));
    expect([heads(mock), heads(genuine)]).toEqual([true, true]);
  });

  test("is signed by its leaf over the bytes it carries", async () => {
    const document = await attest();
    const cose = decodeCbor(document, { maxDepth: 4, indefinite: false }) as Cbor[];
    const leaf = new X509Certificate(claimsOf(document).get("certificate") as Uint8Array);
    const signed = encodeCbor([
      "Signature1",
      fromHex("a1013822"),
      new Uint8Array(),
      new Uint8Array(cose[2] as Uint8Array),
    ]);
    const key = { key: leaf.publicKey, dsaEncoding: "ieee-p1363" } as const;
    expect(verify("sha384", signed, key, cose[3] as Uint8Array)).toBe(true);
    signed[signed.length - 1] = 0xfe;
    expect(verify("sha384", signed, key, cose[3] as Uint8Array)).toBe(false);
  });

  test("says what was measured, and when", async () => {
    const claims = claimsOf(await attest());
    const pcrs = claims.get("pcrs") as ReadonlyMap<number, Uint8Array>;
    const { pcr0, pcr1, pcr2 } = await measurements;
    expect([0, 1, 2, 3, 4].map((index) => toHex(pcrs.get(index) ?? new Uint8Array()))).toEqual([
      ...[pcr0, pcr1, pcr2].map(toHex),
      extended(parentRoleArn),
      extended(instanceId),
    ]);
    expect([...pcrs.keys()]).toEqual([...Array(16).keys()]);
    expect(claims.get("timestamp")).toBe(BigInt(now().getTime()));
    expect(claims.get("module_id")).toMatch(
      new RegExp(`^${instanceId}-enc${now().getTime().toString(16).padStart(12, "0")}`),
    );
    expect(["public_key", "user_data", "nonce"].map((name) => claims.get(name))).toEqual([null, null, null]);
  });

  test("in debug mode PCR0, PCR1 and PCR2 are zero, PCR3 and PCR4 are not", async () => {
    const pcrs = claimsOf(await attest({ debug: true })).get("pcrs") as ReadonlyMap<number, Uint8Array>;
    const zero = [0, 1, 2, 3, 4].map((index) => isAllZero(pcrs.get(index) ?? new Uint8Array()));
    expect(zero).toEqual([true, true, true, false, false]);
  });
});

describe("the device, message by message", () => {
  async function device(randomBytes = (length: number) => new Uint8Array(length).fill(9)) {
    const issuing = { region: "eu-west-1", instanceId, now, randomBytes };
    const rest = { debug: false, moduleId: `${instanceId}-enc0123456789abcdef`, now, randomBytes };
    return createSoftwareNsm({ ...(await options()), ...rest, pki: await createPki(issuing) });
  }
  const field = new Uint8Array(1025);

  test.each<[string, Uint8Array, string]>([
    ["not CBOR", fromHex("ff"), "InvalidArgument"],
    ["no request", encodeCbor("Reset"), "InvalidArgument"],
    ["a response", encodeNsmResponse({ kind: "ExtendPCR", data: field }), "InvalidArgument"],
    ["4097 bytes", new Uint8Array(4097), "InputTooLarge"],
    [
      "user_data of 1025",
      encodeNsmRequest({ kind: "Attestation", userData: field, nonce: null, publicKey: null }),
      "InputTooLarge",
    ],
    [
      "nonce of 1025",
      encodeNsmRequest({ kind: "Attestation", userData: null, nonce: field, publicKey: null }),
      "InputTooLarge",
    ],
    [
      "public_key of 1025",
      encodeNsmRequest({ kind: "Attestation", userData: null, nonce: null, publicKey: field }),
      "InputTooLarge",
    ],
    ["extend 3", encodeNsmRequest({ kind: "ExtendPCR", index: 3, data: utf8("x") }), "ReadOnlyIndex"],
    ["lock 0", encodeNsmRequest({ kind: "LockPCR", index: 0 }), "ReadOnlyIndex"],
    ["lock 32", encodeNsmRequest({ kind: "LockPCR", index: 32 }), "InvalidIndex"],
    ["lock below 33", encodeNsmRequest({ kind: "LockPCRs", range: 33 }), "InvalidIndex"],
  ])("%s → $2", async (_, request, code) => {
    const response = await (await device()).handle(request);
    expect(decodeNsmResponse(response, "test")).toEqual({ kind: "Error", code });
  });

  test("two extensions at once are both taken in", async () => {
    const nsm = await device();
    const extend = (text: string) => nsm.handle(encodeNsmRequest({ kind: "ExtendPCR", index: 16, data: utf8(text) }));
    const [, second] = await Promise.all([extend("a"), extend("b")]);
    const once = createHash("sha384").update(Buffer.alloc(48)).update("a").digest();
    const data = new Uint8Array(createHash("sha384").update(once).update("b").digest());
    expect(decodeNsmResponse(second, "test")).toEqual({ kind: "ExtendPCR", data });
  });

  test("random bytes come from where the caller says", async () => {
    const response = decodeNsmResponse(await (await device()).handle(encodeNsmRequest({ kind: "GetRandom" })), "test");
    expect(response).toEqual({ kind: "GetRandom", random: new Uint8Array(256).fill(9) });
  });
});
