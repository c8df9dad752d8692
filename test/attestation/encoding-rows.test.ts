/**
 * Rows X35 to X42: certificates in BER, PEM and other forms that are not DER, each signed by its rightful issuer.
 */
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import {
  bits,
  type CertificateParts,
  extension,
  integer,
  keyUsage,
  name,
  octets,
  oid,
  sequence,
  signatureValue,
  TRUE,
  text,
  tlv,
  USAGE,
} from "./der-writer.ts";
import { CHAIN, certificate, certificates, describeRows, type Row, variants, withExtensions } from "./row.ts";
import { CERT_SIGN } from "./test-pki.ts";

/** Changes the parts of the zonal certificate, or of another. */
const parts = (edit: (parts: CertificateParts) => void, index = 2): Partial<Row> =>
  certificate(index, (recipe) => void (recipe.parts = edit));
const both = (der: Uint8Array): Partial<Row> =>
  parts((p) => {
    p.algorithm = der;
    p.signedAlgorithm = der;
  });
const ZERO = Uint8Array.of(0);
const constraints = (...content: Uint8Array[]): Uint8Array => extension("2.5.29.19", true, sequence(...content));
/** A value whose length takes one byte more than it needs; its content must be shorter than 128 bytes. */
const longLength = (der: Uint8Array): Uint8Array => concat(der.subarray(0, 1), Uint8Array.of(0x81), der.subarray(1));
const indefinite = (der: Uint8Array): Uint8Array =>
  concat(der.subarray(0, 1), Uint8Array.of(0x80), der.subarray(2), fromHex("0000"));
const retag = (der: Uint8Array, tag: number): Uint8Array => der.with(0, tag);
const usage = (bitString: Uint8Array): Partial<Row> =>
  withExtensions(4, constraints(), extension("2.5.29.15", false, bitString));
const leafDer = (edit: (der: Uint8Array) => Uint8Array): Partial<Row> =>
  certificates((list) => list.map((der, index) => (der && index === list.length - 1 ? edit(der) : der)));
const base64 = (der: Uint8Array): string => Buffer.from(der).toString("base64");
const signature = (edit: (value: Uint8Array) => Uint8Array): Partial<Row> =>
  parts((p) => void (p.signature = (rs) => edit(signatureValue(rs))));
const numbers = (write: (r: Uint8Array, s: Uint8Array) => Uint8Array[]): Partial<Row> =>
  parts((p) => {
    p.signature = (rs) => {
      const [r, s] = [rs.subarray(0, 48), rs.subarray(48)].map((half) =>
        integer(BigInt(`0x${Buffer.from(half).toString("hex")}`)),
      );
      return bits(sequence(...write(r ?? ZERO, s ?? ZERO)));
    };
  });

/** The leaf's own name, which no other certificate repeats. */
const leafName = (subject: Uint8Array): Partial<Row> => certificate(4, (recipe) => void (recipe.subject = subject));
const nameOf = (...attribute: Uint8Array[]): Uint8Array => sequence(tlv(0x31, sequence(...attribute)));

const ROWS: readonly Row[] = [
  ...variants("X35", CHAIN, [
    ["a length in two bytes that fits one", parts((p) => void (p.serial = longLength(p.serial)))],
    [
      "a length with a leading zero",
      parts((p) => void (p.certificate = (...all) => concat(fromHex("308300"), sequence(...all).subarray(2)))),
    ],
    ["a length of five bytes", parts((p) => void (p.serial = fromHex("02850000000001 01".replace(" ", ""))))],
    ["indefinite length", parts((p) => void (p.validity = indefinite(p.validity)))],
    ["a tag of two bytes", parts((p) => void (p.serial = concat(Uint8Array.of(0x1f, 0x02), p.serial.subarray(1))))],
    [
      "a value longer than the certificate",
      parts((p) => void (p.certificate = (...all) => fromHex("30840fffffff").with(0, sequence(...all)[0] ?? 0))),
    ],
    ["a length that ends with the input", leafDer(() => fromHex("3082"))],
    ["a tag that ends with the input", leafDer(() => fromHex("30"))],
  ]),
  ...variants("X35", CHAIN, [
    ...["", "80551d0f", "55801d0f", "551d8f"].map((content): [string, Partial<Row>] => [
      `an OBJECT IDENTIFIER of ${content || "nothing"}`,
      withExtensions(2, constraints(TRUE), CERT_SIGN, sequence(tlv(0x06, fromHex(content)), octets(ZERO))),
    ]),
  ]),
  ...variants("X38", CHAIN, [
    ["a name's string as OCTET STRING", leafName(name("CN=leaf", 0x04))],
    ["an attribute with a third value", leafName(nameOf(oid("2.5.4.3"), text("regional"), text("x")))],
    ["an attribute without a value", leafName(nameOf(oid("2.5.4.3")))],
    ["an RDN without an attribute", leafName(sequence(tlv(0x31)))],
    ["a name of attributes without RDNs", leafName(sequence(sequence(oid("2.5.4.3"), text("leaf"))))],
  ]),
  ...variants("X36", CHAIN, [
    ["serial with a leading zero", parts((p) => void (p.serial = integer(fromHex("0001"))))],
    ["serial of no byte", parts((p) => void (p.serial = integer(new Uint8Array(0))))],
    ["pathLen with a leading zero", withExtensions(2, constraints(TRUE, integer(fromHex("0001"))), CERT_SIGN)],
    ["version with a leading zero", parts((p) => void (p.version = tlv(0xa0, integer(fromHex("0002")))))],
  ]),
  ...variants("X37", CHAIN, [
    ["the signature with an unused bit", parts((p) => void (p.signature = (rs) => bits(signatureValue(rs), 1)))],
    ["the signature empty", parts((p) => void (p.signature = () => tlv(0x03)))],
    ["the signature of no bit", parts((p) => void (p.signature = () => tlv(0x03, ZERO)))],
    ["the public key with an unused bit", parts((p) => void (p.publicKey = p.publicKey.with(22, 1)))],
    ["keyUsage empty", usage(tlv(0x03))],
    ["keyUsage of no bit", usage(tlv(0x03, ZERO))],
  ]),
  ...variants("X38", CHAIN, [
    ["the serial as OCTET STRING", parts((p) => void (p.serial = retag(p.serial, 0x04)))],
    [
      "the extension's OID as UTF8String",
      withExtensions(2, constraints(TRUE), sequence(retag(oid("2.5.29.15"), 0x0c), octets(bits(fromHex("04"), 2)))),
    ],
    ["the algorithm's OID as UTF8String", both(sequence(retag(oid("1.2.840.10045.4.3.3"), 0x0c)))],
    ["the subject as SET", leafName(retag(name("CN=leaf"), 0x31))],
    ["the extensions as SET", parts((p) => void (p.extensionsField = (list) => tlv(0xa3, tlv(0x31, ...list))))],
    ["the signature as OCTET STRING", parts((p) => void (p.signature = (rs) => octets(ZERO, signatureValue(rs))))],
    ["the certificate as SET", parts((p) => void (p.certificate = (...all) => tlv(0x31, ...all)))],
    [
      "the extension's value as UTF8String",
      withExtensions(2, constraints(TRUE), sequence(oid("2.5.29.15"), text("x"))),
    ],
    ["the subject empty", leafName(sequence())],
  ]),
  {
    id: "X39",
    why: "keyUsage with decipherOnly, bit 8",
    ...withExtensions(4, constraints(), keyUsage([USAGE.digitalSignature, USAGE.decipherOnly], false)),
    expect: "accepted",
  },
  {
    id: "X39",
    why: "keyUsage with bit 20, minimal",
    ...withExtensions(4, constraints(), keyUsage([USAGE.digitalSignature, 20], false)),
    expect: "accepted",
  },
  ...variants("X39", CHAIN, [
    ["keyUsage ending in a zero bit", usage(bits(fromHex("c0"), 5))],
    ["keyUsage ending in a zero byte", usage(bits(fromHex("c000"), 0))],
    ["keyUsage with unused bits set", usage(bits(fromHex("c1"), 6))],
    ["keyUsage with nine unused bits", usage(bits(fromHex("c0"), 9))],
    ["keyUsage with 32 unused bits, which a shift takes for none", usage(bits(fromHex("81"), 32))],
  ]),
  ...variants("X40", CHAIN, [
    ["a byte behind the signature's value", signature((value) => bits(concat(value, ZERO)))],
    ["a byte before the signature's value", signature((value) => bits(concat(ZERO, value)))],
    ["a third number", numbers((r, s) => [r, s, integer(1)])],
    ["one number", numbers((r) => [r])],
    ["r with two leading zeros", numbers((r, s) => [integer(concat(fromHex("0000"), r.subarray(2))), s])],
    ["r negative", numbers((r, s) => [integer(concat(Uint8Array.of(0x80), r.subarray(3))), s])],
    ["r of 49 bytes", numbers((_, s) => [integer(new Uint8Array(49).fill(1)), s])],
    ["s of 49 bytes", numbers((r) => [r, integer(new Uint8Array(49).fill(1))])],
    [
      "r and s without their SEQUENCE",
      numbers((r, s) => [r, s]).chain ? parts((p) => void (p.signature = (rs) => bits(rs))) : {},
    ],
    ["a length in two bytes in the signature", signature((value) => bits(longLength(value)))],
  ]),
  ...variants("X41", CHAIN, [
    ["PEM", leafDer((der) => utf8(`-----BEGIN CERTIFICATE-----\n${base64(der)}\n-----END CERTIFICATE-----\n`))],
    ["base64", leafDer((der) => utf8(base64(der)))],
    ["a byte behind the DER", leafDer((der) => concat(der, ZERO))],
  ]),
  { id: "X42", why: "two leaf certificates in a row", ...leafDer((der) => concat(der, der)), expect: CHAIN },
  ...variants("X42", CHAIN, [
    [
      "critical subjectKeyIdentifier",
      withExtensions(2, constraints(TRUE), CERT_SIGN, extension("2.5.29.14", true, octets(ZERO))),
    ],
    [
      "critical authorityKeyIdentifier",
      withExtensions(2, constraints(TRUE), CERT_SIGN, extension("2.5.29.35", true, sequence(tlv(0x80, ZERO)))),
    ],
    [
      "authorityKeyIdentifier without an identifier",
      withExtensions(2, constraints(TRUE), CERT_SIGN, extension("2.5.29.35", false, sequence())),
    ],
  ]),
];

describeRows("encodings", ROWS);
