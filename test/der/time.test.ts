/** The times of a certificate, at the borders of their forms. */
import { expect, test } from "vitest";
import { utf8 } from "../../shared/bytes.ts";
import { DerReader } from "../../shared/der/reader.ts";
import { readValidity } from "../../shared/der/time.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";

function time(tag: number, text: string): readonly number[] {
  return [tag, text.length, ...utf8(text)];
}
const UTC = 0x17;
const GENERALIZED = 0x18;
const LATER = time(GENERALIZED, "99991231235959Z");

function notBefore(tag: number, text: string): string {
  const reader = new DerReader(Uint8Array.from([...time(tag, text), ...LATER]));
  return readValidity(reader).notBefore.toISOString();
}

test.each([
  [UTC, "490101000000Z", "2049-01-01T00:00:00.000Z"],
  [UTC, "500101000000Z", "1950-01-01T00:00:00.000Z"],
  [UTC, "000229120000Z", "2000-02-29T12:00:00.000Z"],
  [UTC, "991231235959Z", "1999-12-31T23:59:59.000Z"],
  [GENERALIZED, "20500101000000Z", "2050-01-01T00:00:00.000Z"],
  [GENERALIZED, "20500000000001Z".replace("0000000001", "0102030405"), "2050-01-02T03:04:05.000Z"],
])("%i %s is %s", (tag, text, iso) => expect(notBefore(tag, text)).toBe(iso));

test.each([
  ["no seconds", UTC, "4901010000Z"],
  ["fractions", UTC, "490101000000.0Z"],
  ["a zone", UTC, "490101000000+0000"],
  ["no Z", UTC, "4901010000000"],
  ["a letter in front", UTC, "A90101000000Z"],
  ["a Z in the middle", UTC, "49010Z000000Z"],
  ["letters behind", UTC, "4901010000ZAZ"],
  ["a newline behind", UTC, "49010100000Z\n"],
  ["GeneralizedTime before 2050", GENERALIZED, "20491231235959Z"],
  ["GeneralizedTime in UTCTime's length", GENERALIZED, "490101000000Z"],
  ["UTCTime in GeneralizedTime's length", UTC, "20500101000000Z"],
  ["month 13", UTC, "491301000000Z"],
  ["30 February", UTC, "480230000000Z"],
  ["29 February of 2049", UTC, "490229000000Z"],
  ["hour 24", UTC, "490101240000Z"],
  ["second 60", UTC, "490101000060Z"],
])("%s is refused", (_, tag, text) => expect(() => notBefore(tag, text)).toThrow(EncodingError));

test("a byte beyond ASCII is no digit", () => {
  const bytes = time(UTC, "490101000000Z").with(3, 0x39 + 0x100 - 0x100 + 0x80);
  expect(() => readValidity(new DerReader(Uint8Array.from([...bytes, ...LATER])))).toThrow(EncodingError);
});

test("nothing follows the two times", () => {
  const reader = new DerReader(Uint8Array.from([...LATER, ...LATER, 5, 0]));
  expect(() => readValidity(reader)).toThrow(EncodingError);
});
