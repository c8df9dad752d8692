/** Names are DER to their innermost value, in every part and not in the first one only. */
import { expect, test } from "vitest";
import { concat, utf8 } from "../../shared/bytes.ts";
import { readName } from "../../shared/der/name.ts";
import { DerReader } from "../../shared/der/reader.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";

const value = (tag: number, ...content: Uint8Array[]): Uint8Array => {
  const body = concat(...content);
  return concat(Uint8Array.of(tag, body.length), body);
};
const ORGANIZATION = Uint8Array.of(0x06, 0x03, 0x55, 0x04, 0x0a);
const attribute = (text: Uint8Array): Uint8Array => value(0x30, ORGANIZATION, text);
const good = attribute(value(0x0c, utf8("Amazon")));
const bad = attribute(value(0x02, Uint8Array.of(1)));
const read = (...rdns: Uint8Array[]): Uint8Array => readName(new DerReader(value(0x30, ...rdns)));

test("several RDNs of several attributes", () => {
  const name = [value(0x31, good), value(0x31, good, good), value(0x31, good)];
  expect(read(...name)).toEqual(value(0x30, ...name));
});

test.each([
  ["no RDN", []],
  ["an RDN without an attribute", [value(0x31)]],
  ["a last RDN without an attribute", [value(0x31, good), value(0x31)]],
  ["an attribute that is no string", [value(0x31, bad)]],
  ["a second RDN whose attribute is none", [value(0x31, good), value(0x31, bad)]],
  ["a third RDN whose attribute is none", [value(0x31, good), value(0x31, good), value(0x31, bad)]],
  ["a second attribute that is none", [value(0x31, good, bad)]],
  ["something behind an attribute", [value(0x31, value(0x30, ORGANIZATION, value(0x0c, utf8("a")), value(0x05)))]],
  ["bytes that are no RDN", [value(0x31, good), Uint8Array.of(0)]],
])("%s is refused", (_, rdns) => expect(() => read(...rdns)).toThrow(EncodingError));
