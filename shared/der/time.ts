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
  // Eight bits a character, so that no other byte can pass for a digit.
  const text = content.length === (isUtc ? 13 : 15) ? String.fromCharCode(...content) : "";
  if (!/^[0-9]+Z$/.test(text)) throw reader.malformed("a time is YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
  if (!isUtc && text < "2050") throw reader.malformed("a time before 2050 is a UTCTime");
  const century = text < "50" ? "20" : "19";
  const iso = (isUtc ? century + text : text).replace(/^(.{4})(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const time = new Date(iso);
  // The calendar must give back what was written: no 30 February, no 24:00:00, no second 60.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== iso) {
    throw reader.malformed("the calendar does not have this time");
  }
  return time;
}
