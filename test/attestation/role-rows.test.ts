/**
 * Rows X10 to X17 and X21 to X23: what a certificate must say of itself to stand where it stands.
 */
import { concat } from "../../shared/bytes.ts";
import { basicConstraints, extension, keyUsage, NULL, oid, sequence, subjectKeyId, tlv, USAGE } from "./der-writer.ts";
import { CHAIN, certificate, describeRows, type Row, variants, withExtensions } from "./row.ts";
import { CERT_SIGN, LEAF_USAGE } from "./test-pki.ts";

const { digitalSignature, nonRepudiation, keyCertSign } = USAGE;
const id = (byte: number): Uint8Array => new Uint8Array(20).fill(byte);
const unknown = (isCritical: boolean): Uint8Array => extension("1.3.6.1.4.1.55738.666.1", isCritical, NULL);
const more = (index: number, ...extensions: Uint8Array[]): Partial<Row> =>
  certificate(index, (recipe) => void recipe.extensions.push(...extensions));
const nameConstraints = (isCritical: boolean): Uint8Array =>
  extension("2.5.29.30", isCritical, sequence(tlv(0xa0, sequence(tlv(0x82, new Uint8Array(1).fill(0x61))))));
const extendedUsage = (isCritical: boolean): Uint8Array =>
  extension("2.5.29.37", isCritical, sequence(oid("1.3.6.1.5.5.7.3.1")));
const pathLength = (index: number, length: number | Uint8Array): Partial<Row> =>
  withExtensions(index, basicConstraints(true, length), CERT_SIGN);

const ROWS: readonly Row[] = [
  ...[1, 2, 3].flatMap((index): Row[] => [
    { id: "X10", why: `issuer ${index} without basicConstraints`, ...withExtensions(index, CERT_SIGN), expect: CHAIN },
    { id: "X11", why: `issuer ${index} without both`, ...withExtensions(index, subjectKeyId(id(1))), expect: CHAIN },
    {
      id: "X11",
      why: `issuer ${index} without keyUsage`,
      ...withExtensions(index, basicConstraints(true)),
      expect: CHAIN,
    },
    {
      id: "X12",
      why: `issuer ${index} is no CA`,
      ...withExtensions(index, basicConstraints(false), CERT_SIGN),
      expect: CHAIN,
    },
    {
      id: "X13",
      why: `issuer ${index} without keyCertSign`,
      ...withExtensions(index, basicConstraints(true), keyUsage([digitalSignature])),
      expect: CHAIN,
    },
    {
      id: "X14",
      why: `issuer ${index} with basicConstraints not critical`,
      ...withExtensions(index, basicConstraints(true, undefined, false), CERT_SIGN),
      expect: CHAIN,
    },
  ]),
  ...variants("X15", CHAIN, [
    ["the leaf is a CA", withExtensions(4, basicConstraints(true), LEAF_USAGE)],
    ["the leaf has keyCertSign", withExtensions(4, basicConstraints(false), keyUsage([digitalSignature, keyCertSign]))],
    ["the leaf lacks digitalSignature", withExtensions(4, basicConstraints(false), keyUsage([nonRepudiation]))],
    ["the leaf lacks keyUsage", withExtensions(4, basicConstraints(false))],
    ["the leaf lacks basicConstraints", withExtensions(4, LEAF_USAGE)],
  ]),
  {
    id: "X16",
    why: "the leaf has a pathLen",
    ...withExtensions(4, basicConstraints(false, 0), LEAF_USAGE),
    expect: CHAIN,
  },
  ...variants("X17", CHAIN, [
    ["regional 1 over two", pathLength(1, 1)],
    ["zonal 0 over one", pathLength(2, 0)],
    ["the root 2 over three", pathLength(0, 2)],
    ["negative", pathLength(1, Uint8Array.of(0xff))],
    ["2^63", pathLength(1, concat(Uint8Array.of(0, 0x80), new Uint8Array(7)))],
    ["20 bytes", pathLength(1, new Uint8Array(20).fill(1))],
    ["empty", pathLength(1, new Uint8Array(0))],
  ]),
  { id: "X17", why: "the root 3 over three", ...pathLength(0, 3), expect: "accepted" },
  { id: "X17", why: "255 over two", ...pathLength(1, 255), expect: "accepted" },
  ...[0, 1, 2, 3, 4].flatMap((index): Row[] => [
    { id: "X21", why: `an unknown critical extension on ${index}`, ...more(index, unknown(true)), expect: CHAIN },
    {
      id: "X21",
      why: `an unknown extension on ${index}, not critical`,
      ...more(index, unknown(false)),
      expect: "accepted",
    },
  ]),
  { id: "X22", why: "critical name constraints", ...more(2, nameConstraints(true)), expect: CHAIN },
  { id: "X23", why: "a critical extended key usage on the leaf", ...more(4, extendedUsage(true)), expect: CHAIN },
  {
    id: "X23",
    why: "an extended key usage on the leaf, not critical",
    ...more(4, extendedUsage(false)),
    expect: "accepted",
  },
];

describeRows("roles", ROWS);
