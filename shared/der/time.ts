/**
 * Reads the validity of a certificate: UTCTime to 2049, GeneralizedTime from 2050, whole seconds, Zulu.
 *
 * Source: RFC 5280 §4.1.2.5.
 *
 * @module
 */
import { type DerReader, TAG } from "./reader.ts";

/** @throws {EncodingError} another form, or a moment that the calendar does not have */
export function readValidity(sequence: DerReader): { notBefore: Date; notAfter: Date } {
  const notBefore = readTime(sequence);
  const notAfter = readTime(sequence);
  sequence.end();
  return { notBefore, notAfter };
}

function readTime(reader: DerReader): Date {
  const isUtc = reader.nextTag === TAG.utcTime;
  const { content } = reader.read(isUtc ? TAG.utcTime : TAG.generalizedTime);
  const text = String.fromCharCode(...content.subarray(0, 16));
  const pattern = isUtc
    ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
    : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;
  const match = content.length > 15 ? null : pattern.exec(text);
  if (!match) throw reader.malformed("a time is YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
  const [yearDigits = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const year = isUtc ? yearDigits + (yearDigits < 50 ? 2000 : 1900) : yearDigits;
  if (!isUtc && year < 2050) throw reader.malformed("a time before 2050 is a UTCTime");
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // The calendar must give back what was written: no 30 February, no 24:00:00, no second 60.
  const iso = `${year}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}.000Z`;
  if (time.toISOString() !== iso) throw reader.malformed("the calendar does not have this time");
  return time;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
