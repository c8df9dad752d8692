import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../shared/bytes.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { isNsmError } from "../../shared/errors/nsm.ts";
import { encodeNsmRequest, encodeNsmResponse, type NsmRequest, type NsmResponse } from "../../shared/nsm/messages.ts";
import { decodeNsmRequest, decodeNsmResponse } from "../../shared/nsm/parse.ts";
import { refusal } from "./refusal.ts";

const data = Uint8Array.of(1, 2, 3);
const text = (name: string) => toHex(utf8(name));

const requests: readonly [NsmRequest, string][] = [
  [{ kind: "DescribeNSM" }, `6b${text("DescribeNSM")}`],
  [{ kind: "GetRandom" }, `69${text("GetRandom")}`],
  [{ kind: "DescribePCR", index: 4 }, `a16b${text("DescribePCR")}a165${text("index")}04`],
  [{ kind: "ExtendPCR", index: 16, data }, `a169${text("ExtendPCR")}a265${text("index")}1064${text("data")}43010203`],
  [{ kind: "LockPCR", index: 31 }, `a167${text("LockPCR")}a165${text("index")}181f`],
  [{ kind: "LockPCRs", range: 32 }, `a168${text("LockPCRs")}a165${text("range")}1820`],
  [
    { kind: "Attestation", userData: data, nonce: null, publicKey: null },
    `a16b${text("Attestation")}a369${text("user_data")}4301020365${text("nonce")}f66a${text("public_key")}f6`,
  ],
];

const responses: readonly NsmResponse[] = [
  { kind: "GetRandom", random: data },
  { kind: "Attestation", document: data },
  { kind: "DescribePCR", lock: false, data },
  { kind: "ExtendPCR", data },
  { kind: "LockPCR" },
  { kind: "LockPCRs" },
  { kind: "Error", code: "ReadOnlyIndex" },
  {
    kind: "DescribeNSM",
    versionMajor: 1,
    versionMinor: 2,
    versionPatch: 3,
    moduleId: "i-1-enc2",
    maxPcrs: 32,
    lockedPcrs: [0, 1],
    digest: "SHA384",
  },
];

describe("requests", () => {
  test.each(requests)("$kind has serde's bytes and reads back", (request, hex) => {
    expect(toHex(encodeNsmRequest(request))).toBe(hex);
    expect(decodeNsmRequest(fromHex(hex))).toEqual(request);
  });

  test.each<[string, Uint8Array, string]>([
    [
      "a field more",
      encodeCbor(
        new Map([
          [
            "LockPCR",
            new Map([
              ["index", 1],
              ["more", 2],
            ]),
          ],
        ]),
      ),
      "ERR_NSM_REQUEST_MALFORMED",
    ],
    ["a field less", encodeCbor(new Map([["ExtendPCR", new Map([["index", 1]])]])), "ERR_NSM_REQUEST_MALFORMED"],
    ["fields where there are none", encodeCbor(new Map([["GetRandom", new Map()]])), "ERR_NSM_REQUEST_MALFORMED"],
    [
      "an index of 17 bits",
      encodeCbor(new Map([["LockPCR", new Map([["index", 65_536]])]])),
      "ERR_NSM_REQUEST_MALFORMED",
    ],
    ["no request", encodeCbor("Reset"), "ERR_NSM_REQUEST_MALFORMED"],
    ["a trailing byte", concat(encodeCbor("GetRandom"), Uint8Array.of(0)), "ERR_NSM_REQUEST_MALFORMED"],
    ["4097 bytes", new Uint8Array(0x1001), "ERR_NSM_INPUT_TOO_LARGE request"],
  ])("%s is refused", async (_, bytes, expected) => {
    expect(await refusal(async () => decodeNsmRequest(bytes))).toBe(expected);
  });
});

describe("responses", () => {
  test.each(responses)("$kind reads back", (response) => {
    expect(decodeNsmResponse(encodeNsmResponse(response), "test")).toEqual(response);
  });

  test("0x3000 bytes are read, one more is not", async () => {
    const around = encodeNsmResponse({ kind: "GetRandom", random: new Uint8Array(1000) }).length - 1000;
    const ofSize = (size: number) => encodeNsmResponse({ kind: "GetRandom", random: new Uint8Array(size - around) });
    expect(await refusal(async () => decodeNsmResponse(ofSize(0x3000), "test"))).toBe("accepted");
    expect(await refusal(async () => decodeNsmResponse(ofSize(0x3001), "test"))).toBe("ERR_NSM_RESPONSE_MALFORMED");
  });

  test("what is read holds no view of the message", () => {
    const bytes = encodeNsmResponse({ kind: "GetRandom", random: data });
    const response = decodeNsmResponse(bytes, "test");
    bytes.fill(0);
    expect(response).toEqual({ kind: "GetRandom", random: data });
  });
});

test("reading throws nothing but its own error", () => {
  const start = fc.constantFrom(...responses.map(encodeNsmResponse), ...requests.map(([r]) => encodeNsmRequest(r)));
  const property = fc.property(start, fc.nat(), fc.integer({ min: 0, max: 255 }), (bytes, at, value) => {
    const changed = bytes.slice();
    changed[at % changed.length] = value;
    for (const read of [() => decodeNsmResponse(changed, "test"), () => decodeNsmRequest(changed)]) {
      try {
        read();
      } catch (error) {
        if (!isNsmError(error)) throw error;
      }
    }
  });
  fc.assert(property, { numRuns: process.env["SLOW"] ? 20_000 : 2_000 });
});
