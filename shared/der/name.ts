/**
 * Reads a Name as far as its form goes: one RDN or more, of one attribute or more, each an OID and a string.
 *
 * What the strings say is nobody's business here: names are compared as bytes. But a name is DER to its innermost value,
 * so that no two readers can see two names in it.
 *
 * Source: RFC 5280 §4.1.2.4, §4.1.2.6.
 *
 * @module
 */
import { DerReader, objectIdentifier, TAG } from "./reader.ts";

/** UTF8String, PrintableString, IA5String: what AWS writes, and its kin. */
const STRINGS: readonly number[] = [0x0c, 0x13, 0x16];

/**
 * The Name's whole encoding.
 *
 * @throws {EncodingError} not that form; empty, where a certificate must have an issuer and what is chained a name
 */
export function readName(reader: DerReader): Uint8Array {
  const { raw, content } = reader.read(TAG.sequence);
  const rdns = new DerReader(content);
  eachOf(rdns, () => {
    const rdn = rdns.enter(TAG.set);
    eachOf(rdn, () => readAttribute(rdn.enter(TAG.sequence)));
  });
  return raw;
}

function eachOf(list: DerReader, read: () => void): void {
  do read();
  while (!list.isAtEnd);
}

function readAttribute(attribute: DerReader): void {
  objectIdentifier(attribute);
  const { nextTag } = attribute;
  if (!STRINGS.includes(nextTag)) throw attribute.malformed("an attribute of a name is a string");
  attribute.read(nextTag);
  attribute.end();
}
