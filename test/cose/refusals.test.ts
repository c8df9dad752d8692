/** Where COSE_Sign1 is refused, what was expected there, and which algorithm stood in its place. */
import { describe, expect, test } from "vitest";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { importVerifyKey } from "../../shared/cose/es384.ts";
import { PROTECTED_ES384, readSign1 } from "../../shared/cose/sign1.ts";
import { AttestationError, isEncodingError } from "../../shared/errors/index.ts";

const SIGNATURE = new Uint8Array(96).fill(1);
const PAYLOAD = utf8("payload");
const EMPTY = Uint8Array.of(0xa0);

/** A message of four items, each in its encoding. */
function message(items: Partial<Record<"header" | "unprotected" | "payload" | "signature", Uint8Array>>): Uint8Array {
  const { header = encodeCbor(PROTECTED_ES384), unprotected = EMPTY } = items;
  const { payload = encodeCbor(PAYLOAD), signature = encodeCbor(SIGNATURE) } = items;
  return concat(Uint8Array.of(0x84), header, unprotected, payload, signature);
}

function refusal(bytes: Uint8Array): AttestationError {
  try {
    readSign1(bytes);
  } catch (error) {
    if (error instanceof AttestationError) return error;
    throw error;
  }
  return expect.unreachable("it was read");
}

const text = encodeCbor("text");
test.each([
  ["document", "an array of four (COSE_Sign1)", Uint8Array.of(0x83, 1, 2, 3)],
  ["document", "an array of four (COSE_Sign1)", Uint8Array.of(0xa0)],
  ["document", "an array of four (COSE_Sign1)", Uint8Array.of(0x85, 1, 2, 3, 4, 5)],
  ["protected", "a byte string", message({ header: text })],
  ["protected", "a map", message({ header: encodeCbor(Uint8Array.of(1)) })],
  ["protected", "{1: -35} and nothing else", message({ header: encodeCbor(fromHex("a20138220441aa")) })],
  ["unprotected", "an empty map", message({ unprotected: fromHex("a10101") })],
  ["unprotected", "an empty map", message({ unprotected: Uint8Array.of(0x80) })],
  ["payload", "a byte string of 1 to 16384 bytes", message({ payload: text })],
  ["payload", "a byte string of 1 to 16384 bytes", message({ payload: Uint8Array.of(0x40) })],
  ["payload", "a byte string of 1 to 16384 bytes", message({ payload: Uint8Array.of(0xf6) })],
  ["payload", "a byte string of 1 to 16384 bytes", message({ payload: encodeCbor(new Uint8Array(16_385)) })],
  ["signature", "a byte string of 96 bytes", message({ signature: text })],
  ["signature", "a byte string of 96 bytes", message({ signature: encodeCbor(new Uint8Array(95)) })],
  ["signature", "a byte string of 96 bytes", message({ signature: encodeCbor(new Uint8Array(97)) })],
])("%s: expected %s", (path, expected, bytes) => {
  const error = refusal(bytes);
  expect(error.code).toBe("ERR_ATTESTATION_MALFORMED");
  expect(error.details).toEqual({ path, expected });
});

test("nesting without end is refused by its depth", () => {
  const deep = concat(Uint8Array.of(0x84), new Uint8Array(20_000).fill(0x81), Uint8Array.of(1, 2, 3, 4));
  expect(refusal(deep).details).toEqual({ path: "document", expected: "CBOR at byte 2: nests deeper than 2" });
});

describe("what is not CBOR", () => {
  test.each([
    ["document", Uint8Array.of(0xff)],
    ["document", Uint8Array.of(0x9f, 1, 2, 3, 4, 0xff)],
    ["document", fromHex("84a1a1a10000a04100")],
    ["protected", message({ header: encodeCbor(Uint8Array.of(0xff)) })],
    ["protected", message({ header: encodeCbor(fromHex("bf013822ff")) })],
    ["protected", message({ header: encodeCbor(fromHex("a101818100")) })],
  ])("in the %s keeps its cause", (path, bytes) => {
    const error = refusal(bytes);
    expect(error.code).toBe("ERR_ATTESTATION_MALFORMED");
    expect(error.details).toMatchObject({ path });
    expect(isEncodingError(error.cause)).toBe(true);
  });
});

test.each([
  ["nothing", ""],
  ["nothing", "a0"],
  ["nothing", "a10401"],
  ["-7", "a10126"],
  ["-36", "a1013823"],
  ["18446744073709551615", "a1011bffffffffffffffff"],
  ["a string", "a10163455333"],
  ["a null", "a101f6"],
  ["a boolean", "a101f5"],
  ["a object", "a10180"],
])("the algorithm is %s", (algorithm, header) => {
  const error = refusal(message({ header: encodeCbor(fromHex(header)) }));
  expect(error.code).toBe("ERR_ATTESTATION_ALGORITHM");
  expect(error.details).toEqual({ algorithm });
});

test("the payload of 16384 bytes is the longest, and a tag is taken off", () => {
  const payload = new Uint8Array(16_384).fill(2);
  const bytes = message({ payload: encodeCbor(payload) });
  expect(readSign1(bytes).payload).toEqual(payload);
  expect(readSign1(concat(Uint8Array.of(0xd2), bytes)).payload).toEqual(payload);
});

test("a key for checking stays inside", async () => {
  const { publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-384" }, true, [
    "sign",
    "verify",
  ]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  expect((await importVerifyKey(point)).extractable).toBe(false);
});
