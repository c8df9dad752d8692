/** The times of a certificate, at the borders of their forms. */
import { expect, test } from "vitest";
import { concat, utf8 } from "../../shared/bytes.ts";
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

/** Why it was refused: of another form, of the other form's years, or not in the calendar. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    return error.details.rule;
  }
  return expect.unreachable("it was read");
}
const FORM = "a time is YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ";
const CALENDAR = "the calendar does not have this time";

test.each([
  ["no seconds", FORM, UTC, "4901010000Z"],
  ["fractions", FORM, UTC, "490101000000.0Z"],
  ["a zone", FORM, UTC, "490101000000+0000"],
  ["no Z", FORM, UTC, "4901010000000"],
  ["nothing", FORM, UTC, ""],
  ["a letter in front", FORM, UTC, "A90101000000Z"],
  ["a Z in the middle", FORM, UTC, "49010Z000000Z"],
  ["letters behind", FORM, UTC, "4901010000ZAZ"],
  ["a newline behind", FORM, UTC, "49010100000Z\n"],
  ["GeneralizedTime before 2050", "a time before 2050 is a UTCTime", GENERALIZED, "20491231235959Z"],
  ["GeneralizedTime in UTCTime's length", FORM, GENERALIZED, "490101000000Z"],
  ["UTCTime in GeneralizedTime's length", FORM, UTC, "20500101000000Z"],
  ["month 13", CALENDAR, UTC, "491301000000Z"],
  ["30 February", CALENDAR, UTC, "480230000000Z"],
  ["29 February of 2049", CALENDAR, UTC, "490229000000Z"],
  ["hour 24", CALENDAR, UTC, "490101240000Z"],
  ["second 60", CALENDAR, UTC, "490101000060Z"],
])("%s is refused: %s", (_, rule, tag, text) => expect(refusal(() => notBefore(tag, text))).toBe(rule));

test("a time of a megabyte is refused for its length, before it is made a text", () => {
  const content = new Uint8Array(2 ** 20).fill(0x30);
  const reader = new DerReader(concat(Uint8Array.of(UTC, 0x83, 0x10, 0, 0), content));
  expect(refusal(() => readValidity(reader))).toBe(FORM);
});

test("a byte beyond ASCII is no digit", () => {
  const bytes = time(UTC, "490101000000Z").with(3, 0x80 + 0x39);
  expect(refusal(() => readValidity(new DerReader(Uint8Array.from([...bytes, ...LATER]))))).toBe(FORM);
});

test("nothing follows the two times", () => {
  const reader = new DerReader(Uint8Array.from([...LATER, ...LATER, 5, 0]));
  expect(() => readValidity(reader)).toThrow(EncodingError);
});
