/**
 * Rows X26 to X34: certificates with one thing changed that no library would write, each signed by its rightful issuer,
 * so that nothing but the reader's own rule can refuse it.
 */
import { createHash, generateKeyPairSync, sign as signWith } from "node:crypto";
import { concat, fromHex } from "../../shared/bytes.ts";
import {
  bits,
  type CertificateParts,
  extension,
  integer,
  NULL,
  octets,
  oid,
  sequence,
  TRUE,
  tlv,
} from "./der-writer.ts";
import { CHAIN, certificate, describeRows, type Row, variants, withExtensions } from "./row.ts";
import { CERT_SIGN, LEAF_USAGE } from "./test-pki.ts";

/** Changes the parts of the zonal certificate, or of another. */
const parts = (edit: (parts: CertificateParts) => void, index = 2): Partial<Row> =>
  certificate(index, (recipe) => void (recipe.parts = edit));
const algorithm = (id: string): Uint8Array => sequence(oid(id));
const ES256 = algorithm("1.2.840.10045.4.3.2");
const both = (der: Uint8Array): Partial<Row> =>
  parts((p) => {
    p.algorithm = der;
    p.signedAlgorithm = der;
  });
const ZERO = Uint8Array.of(0);
const constraints = (...content: Uint8Array[]): Uint8Array => extension("2.5.29.19", true, sequence(...content));
const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
const rsaSigned: Partial<Row> = parts((p) => {
  const rsaSha384 = sequence(oid("1.2.840.113549.1.1.12"), NULL);
  [p.algorithm, p.signedAlgorithm] = [rsaSha384, rsaSha384];
  p.signature = () => bits(new Uint8Array(signWith("sha384", createHash("sha384").digest(), rsa.privateKey)));
});
const sha256 = certificate(2, (recipe) => {
  recipe.hash = "SHA-256";
  recipe.parts = (p) => void ([p.algorithm, p.signedAlgorithm] = [ES256, ES256]);
});

const ROWS: readonly Row[] = [
  ...variants("X26", CHAIN, [
    ["version 1, not written", parts((p) => void (p.version = new Uint8Array(0)))],
    [
      "version 1 without extensions",
      parts((p) => Object.assign(p, { version: new Uint8Array(0), extensionsField: () => new Uint8Array(0) })),
    ],
    ["version 1, written", parts((p) => void (p.version = tlv(0xa0, integer(0))))],
    ["version 2", parts((p) => void (p.version = tlv(0xa0, integer(1))))],
    ["version 4", parts((p) => void (p.version = tlv(0xa0, integer(3))))],
  ]),
  ...variants("X27", CHAIN, [
    ["serial 0", parts((p) => void (p.serial = integer(0)))],
    ["serial negative", parts((p) => void (p.serial = integer(Uint8Array.of(0x80))))],
    ["serial of 21 octets", parts((p) => void (p.serial = integer(new Uint8Array(21).fill(1))))],
    [
      "serial of 21 octets with its sign",
      parts((p) => void (p.serial = integer(concat(ZERO, new Uint8Array(21).fill(0xff))))),
    ],
  ]),
  {
    id: "X27",
    why: "serial of 20 octets",
    ...parts((p) => void (p.serial = integer(new Uint8Array(20).fill(1)))),
    expect: "accepted",
  },
  ...variants("X28", CHAIN, [
    ["SHA-256 outside, SHA-384 inside", parts((p) => void (p.algorithm = algorithm("1.2.840.10045.4.3.2")))],
    ["SHA-384 outside, SHA-256 inside", parts((p) => void (p.signedAlgorithm = algorithm("1.2.840.10045.4.3.2")))],
  ]),
  ...variants("X29", CHAIN, [
    ["ecdsa-with-SHA256", sha256],
    ["ecdsa-with-SHA512", both(algorithm("1.2.840.10045.4.3.4"))],
    ["ecdsa-with-SHA1", both(algorithm("1.2.840.10045.4.1"))],
    ["RSA", rsaSigned],
    // Says SHA-384 and is over SHA-256: only the signature itself can tell.
    ["a signature over SHA-256 that says SHA-384", certificate(2, (r) => void (r.hash = "SHA-256"))],
  ]),
  ...variants("X30", CHAIN, [
    ["NULL parameters in both", both(sequence(oid("1.2.840.10045.4.3.3"), NULL))],
    ["NULL parameters outside", parts((p) => void (p.algorithm = sequence(oid("1.2.840.10045.4.3.3"), NULL)))],
  ]),
  ...variants("X31", CHAIN, [
    ["basicConstraints twice", withExtensions(2, constraints(TRUE), constraints(TRUE), CERT_SIGN)],
    ["keyUsage twice", withExtensions(2, constraints(TRUE), CERT_SIGN, CERT_SIGN)],
    [
      "an unknown extension twice",
      withExtensions(
        2,
        constraints(TRUE),
        CERT_SIGN,
        extension("1.2.3.4", false, NULL),
        extension("1.2.3.4", false, NULL),
      ),
    ],
  ]),
  ...variants("X32", CHAIN, [
    ["cA as 01", withExtensions(2, constraints(tlv(0x01, Uint8Array.of(1))), CERT_SIGN)],
    [
      "critical as 01",
      withExtensions(2, sequence(oid("2.5.29.19"), tlv(0x01, Uint8Array.of(1)), octets(sequence(TRUE))), CERT_SIGN),
    ],
    [
      "critical of two bytes",
      withExtensions(2, sequence(oid("2.5.29.19"), tlv(0x01, fromHex("ffff")), octets(sequence(TRUE))), CERT_SIGN),
    ],
    [
      "critical of no byte",
      withExtensions(2, sequence(oid("2.5.29.19"), tlv(0x01), octets(sequence(TRUE))), CERT_SIGN),
    ],
  ]),
  ...variants("X33", CHAIN, [
    ["cA FALSE written on the leaf", withExtensions(4, constraints(tlv(0x01, ZERO)), LEAF_USAGE)],
    [
      "critical FALSE written",
      withExtensions(4, constraints(), sequence(oid("2.5.29.15"), tlv(0x01, ZERO), octets(bits(fromHex("c0"), 6)))),
    ],
  ]),
  ...variants("X34", CHAIN, [
    ["a byte in the version's wrapper", parts((p) => void (p.version = tlv(0xa0, integer(2), NULL)))],
    ["a value in the public key", parts((p) => void (p.publicKey = sequence(p.publicKey.subarray(2), NULL)))],
    ["a value in the algorithm", both(sequence(oid("1.2.840.10045.4.3.3"), oid("1.2.3")))],
    ["a value in an extension", withExtensions(2, constraints(TRUE), sequence(CERT_SIGN.subarray(2), NULL))],
    [
      "a value behind an extension's value",
      withExtensions(2, extension("2.5.29.19", true, concat(sequence(TRUE), NULL)), CERT_SIGN),
    ],
    [
      "a value behind keyUsage",
      withExtensions(4, constraints(), extension("2.5.29.15", false, concat(bits(fromHex("c0"), 6), NULL))),
    ],
    ["a value in basicConstraints", withExtensions(2, constraints(TRUE, integer(1), NULL), CERT_SIGN)],
    ["a value in basicConstraints without pathLen", withExtensions(2, constraints(TRUE, NULL), CERT_SIGN)],
    [
      "a value behind the extensions",
      parts((p) => void (p.extensionsField = (list) => tlv(0xa3, sequence(...list), NULL))),
    ],
    [
      "a value behind the field of extensions",
      parts((p) => void (p.extensionsField = (list) => concat(tlv(0xa3, sequence(...list)), NULL))),
    ],
    ["a value in the validity", parts((p) => void (p.validity = sequence(p.validity.subarray(2), NULL)))],
    ["a value behind the signature", parts((p) => void (p.certificate = (...all) => sequence(...all, NULL)))],
    [
      "a value behind subjectKeyIdentifier",
      withExtensions(2, constraints(TRUE), CERT_SIGN, extension("2.5.29.14", false, concat(octets(ZERO), NULL))),
    ],
    [
      "a value behind authorityKeyIdentifier",
      withExtensions(
        2,
        constraints(TRUE),
        CERT_SIGN,
        extension("2.5.29.35", false, concat(sequence(tlv(0x80, ZERO)), NULL)),
      ),
    ],
    [
      "issuer and serial in authorityKeyIdentifier",
      withExtensions(
        2,
        constraints(TRUE),
        CERT_SIGN,
        extension("2.5.29.35", false, sequence(tlv(0x80, ZERO), tlv(0x82, ZERO))),
      ),
    ],
    ["no extension at all", parts((p) => void (p.extensionsField = () => tlv(0xa3, sequence())))],
  ]),
];

describeRows("certificates", ROWS);
