/** A device that answers with something else: each row changes one thing of an accepted answer. */
import { describe, expect, test, vi } from "vitest";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import { type CborValue, encodeCbor } from "../../shared/cbor/encode.ts";
import { createNsm } from "../../shared/nsm/client.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { encodeNsmResponse, NSM_ERROR_CODES } from "../../shared/nsm/messages.ts";
import { refusal } from "./refusal.ts";

const pcr = new Uint8Array(48).fill(7);
const MALFORMED = "ERR_NSM_RESPONSE_MALFORMED";

function answering(...responses: readonly Uint8Array[]): NsmDevice {
  const queue = [...responses];
  return createNsm(
    async () => queue.shift() ?? new Uint8Array(),
    async () => {},
  );
}

function variant(name: string, fields: Record<string, CborValue>): Uint8Array {
  return encodeCbor(new Map([[name, new Map(Object.entries(fields))]]));
}

function document(claims: Record<string, CborValue>): Uint8Array {
  const payload = encodeCbor(new Map(Object.entries(claims)));
  return encodeCbor([fromHex("a1013822"), new Map(), payload, new Uint8Array(96)]);
}

describe("answers of DescribePCR", () => {
  const accepted = variant("DescribePCR", { lock: true, data: pcr });

  test("the baseline is accepted, with definite and indefinite maps", async () => {
    expect(await answering(accepted).describePcr(1)).toEqual({ locked: true, value: pcr });
    const indefinite = concat(fromHex("bf"), encodeCbor("DescribePCR"), accepted.subarray(13), fromHex("ff"));
    expect(await answering(indefinite).describePcr(1)).toEqual({ locked: true, value: pcr });
  });

  test.each<[string, Uint8Array]>([
    ["empty", new Uint8Array()],
    ["a positive integer of indefinite length", fromHex("1f")],
    ["a negative integer of indefinite length", fromHex("3f")],
    ["truncated", accepted.subarray(0, -1)],
    ["a trailing byte", concat(accepted, Uint8Array.of(0))],
    ["longer than 0x3000", variant("DescribePCR", { lock: true, data: new Uint8Array(0x3000) })],
    ["another variant", variant("ExtendPCR", { data: pcr })],
    ["a variant of no fields", encodeCbor("LockPCR")],
    ["an unknown variant", variant("DescribePcr", { lock: true, data: pcr })],
    ["an unknown name", encodeCbor("Attestation")],
    [
      "two variants",
      encodeCbor(
        new Map<string, CborValue>([
          [
            "DescribePCR",
            new Map<string, CborValue>([
              ["lock", true],
              ["data", pcr],
            ]),
          ],
          ["LockPCR", null],
        ]),
      ),
    ],
    ["a number", encodeCbor(1)],
    ["a name that is a number", encodeCbor(new Map([[1, new Map()]]))],
    ["a field less", variant("DescribePCR", { data: pcr })],
    ["a field more", variant("DescribePCR", { lock: true, data: pcr, more: 1 })],
    [
      "a field twice",
      fromHex(`a16b${Buffer.from("DescribePCR").toString("hex")}a3646c6f636bf5646c6f636bf5646461746140`),
    ],
    ["fields in an array", encodeCbor(new Map([["DescribePCR", [true, pcr]]]))],
    ["lock as a number", variant("DescribePCR", { lock: 1, data: pcr })],
    ["data as text", variant("DescribePCR", { lock: true, data: "x".repeat(48) })],
    ["a PCR of 47 bytes", variant("DescribePCR", { lock: true, data: pcr.subarray(1) })],
    ["an unknown error code", encodeCbor(new Map([["Error", "Broken"]]))],
    ["the error code Success", encodeCbor(new Map([["Error", "Success"]]))],
    ["an error without a code", encodeCbor("Error")],
  ])("NSM02 %s is refused", async (_, response) => {
    expect(await refusal(() => answering(response).describePcr(1))).toBe(MALFORMED);
  });

  test.each(NSM_ERROR_CODES)("NSM02 the device's %s is passed on", async (code) => {
    const response = encodeNsmResponse({ kind: "Error", code });
    expect(await refusal(() => answering(response).describePcr(1))).toBe(`ERR_NSM_REFUSED ${code}`);
  });
});

describe("answers of DescribeNSM", () => {
  const fields = {
    version_major: 1,
    version_minor: 0,
    version_patch: 0,
    module_id: "i-1-enc1",
    max_pcrs: 32,
    locked_pcrs: [0, 1],
    digest: "SHA384",
  };
  const answer = (change: Record<string, CborValue>) => answering(variant("DescribeNSM", { ...fields, ...change }));

  test.each<[string, Record<string, CborValue>, string]>([
    ["the baseline", {}, "accepted"],
    ["a version of 16 bits", { version_major: 65_535 }, "accepted"],
    ["a version of 17 bits", { version_major: 65_536 }, MALFORMED],
    ["a negative version", { version_patch: -1 }, MALFORMED],
    ["no module id", { module_id: "" }, MALFORMED],
    ["a module id in bytes", { module_id: utf8("i") }, MALFORMED],
    ["another digest", { digest: "sha384" }, MALFORMED],
    ["a locked register twice", { locked_pcrs: [0, 0] }, MALFORMED],
    ["locked registers as a map", { locked_pcrs: new Map() }, MALFORMED],
  ])("%s → $2", async (_, change, expected) => {
    expect(await refusal(() => answer(change).describe())).toBe(expected);
  });
});

describe("NSM03 the document carries what was given", () => {
  const given = { publicKey: utf8("key"), userData: utf8("data"), nonce: utf8("nonce") };
  const carried = { public_key: given.publicKey, user_data: given.userData, nonce: given.nonce };
  const attest = (response: Uint8Array, request = given as Partial<typeof given>) =>
    refusal(() => answering(variant("Attestation", { document: response })).attest(request));

  test.each<[string, Record<string, CborValue>, string]>([
    ["all three", {}, "accepted"],
    ["another nonce", { nonce: utf8("nonCe") }, MALFORMED],
    ["a longer nonce", { nonce: utf8("nonce ") }, MALFORMED],
    ["no nonce", { nonce: null }, MALFORMED],
    ["the nonce as text", { nonce: "nonce" }, MALFORMED],
    ["another user_data", { user_data: utf8("") }, MALFORMED],
    ["another public_key", { public_key: utf8("kez") }, MALFORMED],
  ])("%s → $2", async (_, change, expected) => {
    expect(await attest(document({ ...carried, ...change }))).toBe(expected);
  });

  test("what was not given must not come", async () => {
    expect(await attest(document({}), {})).toBe("accepted");
    expect(await attest(document({ nonce: utf8("n") }), {})).toBe(MALFORMED);
    expect(await attest(document({ nonce: null }), { nonce: new Uint8Array() })).toBe(MALFORMED);
  });

  test.each<[string, Uint8Array]>([
    ["not CBOR", fromHex("ff")],
    ["empty", new Uint8Array()],
    ["a map", encodeCbor(new Map())],
    ["an array without a payload", encodeCbor([new Uint8Array()])],
    ["a payload that is an array", encodeCbor([new Uint8Array(), new Map(), encodeCbor([]), new Uint8Array()])],
  ])("a document that is %s", async (_, bytes) => {
    expect(await attest(bytes)).toBe(MALFORMED);
  });
});

describe("NSM04 random bytes", () => {
  const random = (bytes: Uint8Array) => variant("GetRandom", { random: bytes });
  const zero = random(new Uint8Array(256));
  const one = random(Uint8Array.of(1));

  test.each<[string, readonly Uint8Array[], string]>([
    ["256 bytes", [random(new Uint8Array(256).fill(1))], "accepted"],
    ["257 bytes", [random(new Uint8Array(257).fill(1))], MALFORMED],
    ["one byte", [one], "accepted"],
    ["none, always", Array(8).fill(random(new Uint8Array())), MALFORMED],
    ["all zero, always", Array(8).fill(zero), MALFORMED],
    ["all zero three times, then not", [zero, zero, zero, one], "accepted"],
    ["all zero four times, then not", [zero, zero, zero, zero, one], MALFORMED],
  ])("%s → $2", async (_, responses, expected) => {
    expect(await refusal(() => answering(...responses).getRandom())).toBe(expected);
  });

  test("the block of the call before is refused, even if the caller has wiped it", async () => {
    const nsm = answering(one, one, one, one, one);
    (await nsm.getRandom()).fill(0);
    expect(await refusal(() => nsm.getRandom())).toBe(MALFORMED);
  });
});

test("NSM07 no exchange begins before the last has ended", async () => {
  const pending: (() => void)[] = [];
  const exchange = vi.fn(
    () => new Promise<Uint8Array>((resolve) => pending.push(() => resolve(encodeNsmResponse({ kind: "LockPCR" })))),
  );
  const nsm = createNsm(exchange, async () => {});
  const calls = Promise.all([nsm.lockPcr(16), nsm.lockPcr(17), nsm.lockPcr(18)]);
  for (let begun = 1; begun <= 3; begun++) {
    await vi.waitFor(() => expect(pending).toHaveLength(1), 15_000);
    expect(exchange).toHaveBeenCalledTimes(begun);
    pending.pop()?.();
  }
  await calls;
});

test("a call that fails does not stop the next, nor does an exchange that fails", async () => {
  const exchange = vi.fn(async () => encodeCbor("LockPCR")).mockRejectedValueOnce(new TypeError("once"));
  const failing = createNsm(exchange, async () => {});
  const outcomes = [refusal(() => failing.lockPcr(16)), refusal(() => failing.lockPcr(17))];
  expect(await Promise.all(outcomes)).toEqual(["TypeError", "accepted"]);
  const nsm = answering(encodeCbor("LockPCRs"), encodeCbor("LockPCR"));
  expect(await Promise.all([refusal(() => nsm.lockPcr(16)), refusal(() => nsm.lockPcr(17))])).toEqual([
    MALFORMED,
    "accepted",
  ]);
});
