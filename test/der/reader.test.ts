/** The DER reader by itself: each limit from both sides. */
import { describe, expect, test } from "vitest";
import { toHex } from "../../shared/bytes.ts";
import {
  boolean,
  DerReader,
  objectIdentifier,
  octetAlignedBits,
  TAG,
  unsignedInteger,
} from "../../shared/der/reader.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";

const read = (hex: string): DerReader => new DerReader(Uint8Array.from(Buffer.from(hex, "hex")));

/** The offset of a refusal. */
function refusal(call: () => unknown): { readonly offset: unknown; readonly rule: string } {
  try {
    call();
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    expect(error.code).toBe("ERR_ASN1_MALFORMED");
    return error.details as { offset: unknown; rule: string };
  }
  return expect.unreachable("it was read");
}

describe("lengths", () => {
  test.each([
    [0, "0400"],
    [127, `047f${"aa".repeat(127)}`],
    [128, `048180${"aa".repeat(128)}`],
    [255, `0481ff${"aa".repeat(255)}`],
    [256, `04820100${"aa".repeat(256)}`],
    [65_535, `0482ffff${"aa".repeat(65_535)}`],
    [65_536, `0483010000${"aa".repeat(65_536)}`],
    [2 ** 24, `048401000000${"aa".repeat(2 ** 24)}`],
  ])("%i bytes in the shortest form are read whole", (length, hex) => {
    const reader = read(`${hex}0500`);
    const value = reader.read(TAG.octetString);
    expect(value.content.length).toBe(length);
    expect(value.raw.length).toBe(hex.length / 2);
    expect(reader.isAtEnd).toBe(false);
    expect(reader.nextTag).toBe(TAG.null);
  });

  test.each([
    ["the indefinite form", `0480${"aa".repeat(200)}0000`],
    ["one byte where none is needed", `04817f${"aa".repeat(127)}`],
    ["two bytes where one is enough", `048200ff${"aa".repeat(255)}`],
    ["three bytes where two are enough", `048300ffff${"aa".repeat(65_535)}`],
    ["five bytes", `04850001000000${"aa".repeat(2 ** 10)}`],
    ["a reserved size", `04ff${"aa".repeat(300)}`],
    ["no length at all", "04"],
    ["a length that is cut off", "048201"],
    ["one byte more than there is", "0403aaaa"],
    ["a container that ends in a value", "3003040400"],
  ])("%s is refused where it stands", (_, hex) => {
    const reader = hex.startsWith("30") ? read(hex).enter(TAG.sequence) : read(hex);
    expect(refusal(() => reader.read(TAG.octetString)).offset).toBe(0);
  });

  test("exactly what there is, is enough", () => {
    const reader = read("0402aabb");
    expect(toHex(reader.read(TAG.octetString).content)).toBe("aabb");
    reader.end();
    expect(reader.nextTag).toBe(-1);
  });

  test("the rule says where the input ends", () => {
    expect(refusal(() => read("04").read(TAG.octetString)).rule).toContain("ends in the middle");
    expect(refusal(() => read("048201").read(TAG.octetString)).rule).toContain("ends in the middle");
    expect(refusal(() => read("0480").read(TAG.octetString)).rule).toContain("definite");
    expect(refusal(() => read("04850001000000").read(TAG.octetString)).rule).toContain("definite");
    expect(refusal(() => read("0403aaaa").read(TAG.octetString)).rule).toContain("longer than its container");
  });
});

describe("tags", () => {
  test("another one is named in the refusal, and so is the end", () => {
    expect(refusal(() => read("0500").read(TAG.octetString)).rule).toBe("expected tag 0x4, found 0x5");
    expect(refusal(() => read("0000").read(TAG.octetString)).rule).toBe("expected tag 0x4, found 0x0");
    expect(refusal(() => read("").read(TAG.octetString)).rule).toBe("expected tag 0x4, found the end");
  });

  test("what is left over is refused with its offset", () => {
    const reader = read("05000500");
    reader.read(TAG.null);
    expect(refusal(() => reader.end())).toMatchObject({ offset: 2 });
  });
});

describe("INTEGER", () => {
  test.each([
    ["020100", "00"],
    ["02017f", "7f"],
    ["02020080", "80"],
    ["0202 0100", "0100"],
    ["020300ffff", "ffff"],
  ])("%s is %s", (hex, value) => expect(toHex(unsignedInteger(read(hex.replaceAll(" ", ""))))).toBe(value));

  test.each([
    ["without content", "0200", "has content"],
    ["that is negative", "020180", "negative"],
    ["that is negative and padded", "0202ff80", "negative"],
    ["with a zero that is not needed", "0202007f", "shortest"],
    ["with two zeros", "02020000", "shortest"],
  ])("one %s is refused", (_, hex, rule) => expect(refusal(() => unsignedInteger(read(hex))).rule).toContain(rule));
});

describe("OBJECT IDENTIFIER", () => {
  test.each(["550403", "2a8648ce3d", "00", "818000", "81808001"])("%s is one", (hex) =>
    expect(toHex(objectIdentifier(read(`06${(hex.length / 2).toString(16).padStart(2, "0")}${hex}`)))).toBe(hex),
  );

  test.each([
    ["empty", "0600"],
    ["cut off in an arc", "06025586"],
    ["an arc that begins with zero bits", "060355800 3".replaceAll(" ", "")],
    ["a first arc that begins with zero bits", "06028001"],
  ])("%s is none", (_, hex) => void refusal(() => objectIdentifier(read(hex))));
});

describe("BOOLEAN and BIT STRING", () => {
  test("00 is false, ff is true", () => {
    expect(boolean(read("010100"))).toBe(false);
    expect(boolean(read("0101ff"))).toBe(true);
  });
  test.each(["010101", "0100", "01020000", "0102ffff", "0101fe"])(
    "%s is neither",
    (hex) => void refusal(() => boolean(read(hex))),
  );
  test("whole octets come without their count", () => expect(toHex(octetAlignedBits(read("030300aabb")))).toBe("aabb"));
  test.each(["030201aa", "0300"])(
    "%s does not hold whole octets",
    (hex) => void refusal(() => octetAlignedBits(read(hex))),
  );
});
