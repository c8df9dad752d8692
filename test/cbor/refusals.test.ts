/** Where the CBOR gate refuses, and by which rule: each limit from both sides, with its offset. */
import { describe, expect, test } from "vitest";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";

const STRICT = { maxDepth: 3, indefinite: false } as const;
const LENIENT = { maxDepth: 3, indefinite: true } as const;
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

function refusal(hex: string, limits: typeof STRICT | typeof LENIENT): { offset: number; rule: string } {
  try {
    decodeCbor(bytes(hex), limits);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    expect(error.code).toBe("ERR_CBOR_MALFORMED");
    return error.details;
  }
  return expect.unreachable(`${hex} was read`);
}

test.each([
  ["", 0, "the input ends in the middle of an item"],
  ["0000", 1, "nothing may follow the item"],
  ["8201", 0, "more items are announced than the input has bytes"],
  ["820182", 2, "more items are announced than the input has bytes"],
  // A pair takes two bytes at least.
  ["a2000001", 0, "more items are announced than the input has bytes"],
  ["820118", 2, "the input ends in the middle of an item"],
  ["19ff", 0, "the input ends in the middle of an item"],
  ["1affffff", 0, "the input ends in the middle of an item"],
  ["1bffffffffffffff", 0, "the input ends in the middle of an item"],
  ["c0f6", 0, "no tags"],
  ["81c0f6", 1, "no tags"],
  ["1c", 0, "additional information 28 to 30 is reserved"],
  ["811d", 1, "additional information 28 to 30 is reserved"],
  ["7e", 0, "additional information 28 to 30 is reserved"],
  ["1817", 0, "lengths and integers take their shortest form"],
  ["1900ff", 0, "lengths and integers take their shortest form"],
  ["1a0000ffff", 0, "lengths and integers take their shortest form"],
  ["1b00000000ffffffff", 0, "lengths and integers take their shortest form"],
  ["5801aa", 0, "lengths and integers take their shortest form"],
  ["43aabb", 1, "a string is longer than the input"],
  ["59ffffaa", 3, "a string is longer than the input"],
  ["636162", 1, "a string is longer than the input"],
  ["61ff", 0, "text is UTF-8"],
  ["8161ff", 1, "text is UTF-8"],
  ["63efbbbf", 0, "text does not begin with a byte order mark"],
  ["8164efbbbf61", 1, "text does not begin with a byte order mark"],
  ["f7", 0, "only false, true and null"],
  ["f3", 0, "only false, true and null"],
  ["f800", 0, "only false, true and null"],
  ["f820", 0, "only false, true and null"],
  ["f97e00", 0, "only false, true and null"],
  ["fb3ff0000000000000", 0, "only false, true and null"],
  ["ff", 0, "a break stands where an item must"],
  ["81ff", 1, "a break stands where an item must"],
  ["a1f601", 1, "a map key is text or an integer"],
  ["a1410101", 1, "a map key is text or an integer"],
  ["a201010102", 3, "a map key comes twice"],
  ["a2616101616102", 4, "a map key comes twice"],
  ["81818180", 3, "nests deeper than 3"],
  ["818181a0", 3, "nests deeper than 3"],
  ["9fff", 0, "no indefinite length here"],
  ["81bfff", 1, "no indefinite length here"],
] as const)("%s is refused at %i: %s", (hex, offset, rule) => {
  expect(refusal(hex, STRICT)).toEqual({ offset, rule });
});

test.each([
  ["1f", 0, "integers and tags have no indefinite length"],
  ["3f", 0, "integers and tags have no indefinite length"],
  ["df", 0, "integers and tags have no indefinite length"],
  ["5fff", 0, "no strings of indefinite length"],
  ["5f41aaff", 0, "no strings of indefinite length"],
  ["817fff", 1, "no strings of indefinite length"],
  ["9f01", 2, "the input ends in the middle of an item"],
  ["bf0101", 3, "a map key is text or an integer"],
  ["bf01ff", 2, "a break stands where an item must"],
])("%s is refused at %i though indefinite lengths are taken: %s", (hex, offset, rule) => {
  expect(refusal(hex, LENIENT)).toEqual({ offset, rule });
});

test("bytes that are no UTF-8 keep the decoder's words", () => {
  const refused = expect.objectContaining({ code: "ERR_CBOR_MALFORMED", cause: expect.any(TypeError) });
  expect(() => decodeCbor(bytes("61ff"), STRICT)).toThrow(refused);
});

describe("just inside of a limit", () => {
  test.each([
    ["1818", 24],
    ["190100", 256],
    ["1a00010000", 65_536],
    ["1b0000000100000000", 2n ** 32n],
    ["3818", -25],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["8201820203", [1, [2, 3]]],
    ["818180", [[[]]]],
    ["8143aabbcc", [bytes("aabbcc")]],
    ["43aabbcc", bytes("aabbcc")],
    ["63616263", "abc"],
    ["6461efbbbf", "a\ufeff"],
    [
      "a201010202",
      new Map([
        [1, 1],
        [2, 2],
      ]),
    ],
    ["a1010a", new Map([[1, 10]])],
    ["820102", [1, 2]],
    ["8101", [1]],
    ["a12001", new Map([[-1, 1]])],
  ])("%s is read", (hex, value) => expect(decodeCbor(bytes(hex), STRICT)).toEqual(value));

  test("indefinite lengths, where they are taken", () => {
    expect(decodeCbor(bytes("9f0102ff"), LENIENT)).toEqual([1, 2]);
    expect(decodeCbor(bytes("bf0102ff"), LENIENT)).toEqual(new Map([[1, 2]]));
  });

  test("a text that ends in a byte order mark is one, and keys have 1024 bytes at most", () => {
    const key = (length: number): string => `a179${length.toString(16).padStart(4, "0")}${"61".repeat(length)}01`;
    expect(decodeCbor(bytes(key(1021)), STRICT)).toEqual(new Map([["a".repeat(1021), 1]]));
    expect(refusal(key(1022), STRICT)).toEqual({ offset: 1, rule: "a map key has at most 1024 bytes" });
  });
});
