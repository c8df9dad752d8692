import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "../../shared/bytes.ts";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { type CborValue, encodeCbor, IndefiniteMap } from "../../shared/cbor/encode.ts";
import { isEncodingError } from "../../shared/errors/index.ts";
import { hasVectors, vector } from "../vectors.ts";

function verdict(hex: string, indefinite = true): string {
  try {
    decodeCbor(fromHex(hex), { maxDepth: 4, indefinite });
    return "read";
  } catch (error) {
    if (!isEncodingError(error)) throw error;
    return error.code;
  }
}

describe("decodeCbor", () => {
  test.each([
    ["an integer", "00"],
    ["-35", "3822"],
    ["text", "6161"],
    ["bytes", "4101"],
    ["an array", "8101"],
    ["an array of indefinite length", "9f01ff"],
    ["a map of indefinite length", "bf616101ff"],
    ["nested four deep", "81818100"],
    ["null, true, false", "83f6f5f4"],
  ])("reads %s", (_, hex) => expect(verdict(hex)).toBe("read"));

  test.each([
    ["B02 nothing", ""],
    ["B07 a byte behind the item", "0000"],
    ["B10 a break inside a definite map, as key", "a1ff01"],
    ["B10 a break inside a definite map, as value", "a16161ff"],
    ["B11 an indefinite map with an odd count", "bf6161ff"],
    ["B12 reserved additional information", "1c"],
    ["B13 an indefinite integer", "1f"],
    ["B13 an indefinite negative integer", "3f"],
    ["B13 an indefinite tag", "df00ff"],
    ["B14 a simple value below 32 in two bytes", "f800"],
    ["B15 a half float", "f97e00"],
    ["B15 a double", "fb7ff8000000000000"],
    ["B16 undefined", "f7"],
    ["B17 a byte string of indefinite length", "5f4101ff"],
    ["B18 a text string of indefinite length", "7f6161ff"],
    ["B20 a length of 2^32 - 1", "5affffffff000000"],
    ["B21 a length of 2^53", "5b0020000000000000"],
    ["B21 a length of 2^64 - 1", "5bffffffffffffffff"],
    ["B22 2^31 array items", "9a8000000000"],
    ["B22 2^31 map pairs", "ba8000000000"],
    ["B23 nested five deep", "818181818100"],
    ["B24 an integer in two bytes that fits one", "1800"],
    ["B24 a map key that is not minimal", "a1180001"],
    ["B25 a byte string length that is not minimal", "580101"],
    ["B26 a map header that is not minimal", "b801616101"],
    ["B27 a bignum", "c24101"],
    ["B29 text that is not UTF-8", "61ff"],
    ["B31 a byte string as map key", "a1410101"],
    ["B31 an array as map key", "a1800101"],
    ["a key twice", "a2616101616102"],
    ["a key twice in an indefinite map", "bf616101616102ff"],
  ])("refuses %s", (_, hex) => expect(verdict(hex)).toBe("ERR_CBOR_MALFORMED"));

  test("B23: 100 000 nested arrays are refused without a RangeError", () => {
    expect(verdict("81".repeat(100_000))).toBe("ERR_CBOR_MALFORMED");
    expect(verdict("9f".repeat(100_000))).toBe("ERR_CBOR_MALFORMED");
  });

  test("indefinite length is refused where the caller does not allow it", () => {
    expect(verdict("bf616101ff", false)).toBe("ERR_CBOR_MALFORMED");
    expect(verdict("9f01ff", false)).toBe("ERR_CBOR_MALFORMED");
  });

  test("B30: a key named __proto__ is a key, and nobody's prototype", () => {
    const map = decodeCbor(fromHex("a1695f5f70726f746f5f5f01"), { maxDepth: 2, indefinite: false });
    expect(map).toEqual(new Map([["__proto__", 1]]));
    expect(({} as Record<string, unknown>)["1"]).toBeUndefined();
  });

  test("reads what encodeCbor writes", () => {
    const value = new IndefiniteMap(new Map<string | number, never>([["a", 1 as never]]));
    expect(toHex(encodeCbor(value))).toBe("bf616101ff");
    for (const integer of [0, 23, 24, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, -1, -24, -25, -257]) {
      const read = decodeCbor(encodeCbor(integer), { maxDepth: 0, indefinite: false });
      expect(Number(read)).toBe(integer);
    }
  });
});

test("encodeCbor refuses numbers that are no integers of 64 bits", () => {
  for (const value of [1.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 64n) - 1n]) {
    expect(() => encodeCbor(value)).toThrow(RangeError);
  }
});

describe.skipIf(!hasVectors)("RFC 8949 Appendix F (needs the reference vectors)", () => {
  const cases = hasVectors ? notWellFormed() : [];

  test("there are 94 items", () => expect(cases.length).toBe(94));

  test.each(cases)("%s is refused", (hex) => expect(verdict(hex)).toBe("ERR_CBOR_MALFORMED"));
});

function notWellFormed(): string[] {
  const text = Buffer.from(vector("conformance/cbor/rfc8949-appendix-f-not-well-formed.json")).toString();
  const { cases } = JSON.parse(text) as { cases: readonly { hex: string }[] };
  return cases.map(({ hex }) => hex);
}

interface Example {
  readonly hex: string;
  readonly roundtrip: boolean;
  readonly decoded?: unknown;
}

function examples(): Example[] {
  return JSON.parse(Buffer.from(vector("conformance/cbor/appendix_a.json")).toString()) as Example[];
}

/** What this reader does not read, by its first byte and what follows: none of it is in any document. */
const UNSUPPORTED: readonly (readonly [string, RegExp])[] = [
  ["a tag", /^(c|d)/],
  ["a float", /^f[9ab]/],
  ["undefined, or a simple value", /^(f7|f[0-3]|f8)/],
  ["a string of indefinite length", /^(5f|7f)/],
];

describe.skipIf(!hasVectors)("RFC 8949 Appendix A (needs the reference vectors)", () => {
  const all = hasVectors ? examples() : [];
  const unsupported = all.filter(({ hex }) => UNSUPPORTED.some(([, form]) => form.test(hex)));
  const supported = all.filter((example) => !unsupported.includes(example));

  test("82 examples, 46 of types that are read", () => {
    expect([all.length, supported.length]).toEqual([82, 46]);
  });

  test.each(unsupported)("$hex is refused for its type", ({ hex }) => expect(verdict(hex)).toBe("ERR_CBOR_MALFORMED"));

  test.each(supported)("$hex is read, and written again if it is in shortest form", ({ hex, roundtrip, decoded }) => {
    const value = decodeCbor(fromHex(hex), { maxDepth: 4, indefinite: true });
    if (decoded !== undefined) expect(plain(value)).toEqual(decoded);
    if (roundtrip) expect(toHex(encodeCbor(value as CborValue))).toBe(hex);
  });
});

/** The value as the examples' JSON has it: objects for maps, numbers of any size. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" ? Number(value) : value;
}
