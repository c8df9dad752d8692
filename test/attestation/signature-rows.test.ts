/**
 * Rows S01 to S11 and their must-accept twin: who signed the document, with which key, over which bytes.
 */
import { type createPublicKey, generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { createChainCache, verifyAttestation } from "../../shared/attestation/index.ts";
import { concat } from "../../shared/bytes.ts";
import { bits, oid, sequence, signatureValue } from "./der-writer.ts";
import {
  CHAIN,
  certificate,
  codeOf,
  describeRows,
  flip,
  MALFORMED,
  policyFor,
  type Row,
  SIGNATURE,
  variants,
} from "./row.ts";
import { makeDocument, NOW, newKeys } from "./test-pki.ts";
import { bytesOf, N, P, twinOf } from "./twin.ts";

/** The signature of the finished document replaced; its head follows its length. */
const resized = (edit: (signature: Uint8Array) => Uint8Array): Partial<Row> => ({
  message: (m) => void (m.signature = edit),
  isSigning: true,
});
const halves = (edit: (r: Uint8Array, s: Uint8Array) => Uint8Array[]): Partial<Row> =>
  resized((signature) => concat(...edit(signature.subarray(0, 48), signature.subarray(48))));

const nodeKey = (type: "rsa" | "ec" | "ed25519", options: object = {}): Uint8Array => {
  const generate = generateKeyPairSync as (
    type: string,
    options: object,
  ) => { publicKey: ReturnType<typeof createPublicKey> };
  return new Uint8Array(generate(type, options).publicKey.export({ type: "spki", format: "der" }));
};
const leafKey = (publicKey: Uint8Array): Partial<Row> =>
  certificate(4, (r) => void (r.parts = (p) => void (p.publicKey = publicKey)));
const leafPoint = (edit: (point: Uint8Array) => Uint8Array): Partial<Row> =>
  certificate(4, (r) => {
    r.parts = (parts) => {
      const algorithm = sequence(oid("1.2.840.10045.2.1"), oid("1.3.132.0.34"));
      parts.publicKey = sequence(algorithm, bits(edit(parts.publicKey.subarray(-97))));
    };
  });
const coordinates = (x: Uint8Array, y: Uint8Array): Uint8Array => concat(Uint8Array.of(4), x, y);
/** The same key, its curve written out in parameters: what CVE-2020-0601 lived on. */
const explicitCurve = (point: Uint8Array): Uint8Array => {
  const named = nodeKey("ec", { namedCurve: "secp384r1", paramEncoding: "explicit" });
  return concat(named.subarray(0, -97), point);
};

const ROWS: readonly Row[] = [
  ...variants("S02", MALFORMED, [
    ...[0, 64, 95].map((length): [string, Partial<Row>] => [`${length} bytes`, resized((s) => s.subarray(0, length))]),
    ...[97, 104, 128].map((length): [string, Partial<Row>] => [
      `${length} bytes`,
      resized((s) => concat(s, new Uint8Array(length - 96))),
    ]),
  ]),
  ...variants("S03", SIGNATURE, [
    ["r = 0", halves((_, s) => [bytesOf(0n), s])],
    ["s = 0", halves((r) => [r, bytesOf(0n)])],
    ["r = s = 0", halves(() => [bytesOf(0n), bytesOf(0n)])],
    ["r = n", halves((_, s) => [bytesOf(N), s])],
    ["s = n", halves((r) => [r, bytesOf(N)])],
    ["r = p", halves((_, s) => [bytesOf(P), s])],
    ["all ff", halves(() => [new Uint8Array(96).fill(0xff)])],
  ]),
  { id: "S04", why: "DER instead of r and s", ...resized(signatureValue), expect: MALFORMED },
  { id: "S05", why: "r and s swapped", ...halves((r, s) => [s, r]), expect: SIGNATURE },
  { id: "S06", why: "the twin (r, n - s)", ...resized(twinOf), expect: "accepted" },
  ...(["SHA-256", "SHA-512"] as const).map(
    (hash): Row => ({
      id: "S07",
      why: `over ${hash}`,
      isSigning: true,
      message: (m) => void (m.signed.hash = hash),
      expect: SIGNATURE,
    }),
  ),
  ...["root", "regional", "zonal", "instance"].map(
    (issuer, index): Row => ({
      id: "S08",
      why: `signed by the ${issuer}`,
      message: (m) => void (m.signer = index),
      expect: SIGNATURE,
    }),
  ),
  {
    id: "S08",
    why: "signed by another leaf of the same chain",
    message: (m) => void (m.signer = otherLeaf),
    expect: SIGNATURE,
  },
  ...variants("S09", CHAIN, [
    ["a leaf key on P-256", leafKey(nodeKey("ec", { namedCurve: "P-256" }))],
    ["a leaf key on P-521", leafKey(nodeKey("ec", { namedCurve: "P-521" }))],
    ["a leaf key on secp256k1", leafKey(nodeKey("ec", { namedCurve: "secp256k1" }))],
    ["an Ed25519 leaf key", leafKey(nodeKey("ed25519"))],
    ["an RSA leaf key", leafKey(nodeKey("rsa", { modulusLength: 1024 }))],
    // This document's signature is good under the key: only the way the curve is named can refuse it.
    [
      "the curve as explicit parameters",
      certificate(4, (r) => void (r.parts = (p) => void (p.publicKey = explicitCurve(p.publicKey.subarray(-97))))),
    ],
  ]),
  ...variants("S10", CHAIN, [
    [
      "the leaf's point compressed",
      leafPoint((point) => concat(Uint8Array.of(2 + ((point.at(-1) ?? 0) & 1)), point.subarray(1, 49))),
    ],
    ["infinity", leafPoint(() => Uint8Array.of(0))],
    ["off the curve", leafPoint((point) => flip(point, -1))],
    ["x = p, y = 0", leafPoint(() => coordinates(bytesOf(P), bytesOf(0n)))],
    ["zero, zero", leafPoint(() => coordinates(bytesOf(0n), bytesOf(0n)))],
    ["hybrid form", leafPoint((point) => concat(Uint8Array.of(6 + ((point.at(-1) ?? 0) & 1)), point.subarray(1)))],
  ]),
  ...variants("S11", MALFORMED, [
    ["the signature as text", { message: (m) => void (m.signature = () => "x".repeat(96)), isSigning: true }],
    ["the signature as an array", { message: (m) => void (m.signature = () => []), isSigning: true }],
    ["the signature as null", { message: (m) => void (m.signature = () => null), isSigning: true }],
  ]),
];

const otherLeaf = await newKeys();

describeRows("signatures", ROWS);

describe("S01: single bits", () => {
  const chainCache = createChainCache();
  let made: { document: Uint8Array; root: Uint8Array };
  beforeAll(async () => void (made = await makeDocument()));

  const verdictOf = (document: Uint8Array): Promise<string> =>
    codeOf(verifyAttestation(document, policyFor(made.root), { now: NOW, chainCache }));

  test("the document as it is", async () => expect(await verdictOf(made.document)).toBe("accepted"));

  test("S01: all 768 of r and s", async () => {
    const flipped = Array.from({ length: 768 }, (_, bit) => flip(made.document, -96 + (bit >> 3), 1 << (bit & 7)));
    const codes = await Promise.all(flipped.map(verdictOf));
    expect(codes).toEqual(codes.map(() => SIGNATURE));
    expect(codes.length).toBe(768);
  });

  test("S01: of the payload, every 97th", async () => {
    const from = 10;
    const bitCount = 8 * (made.document.length - 98 - from);
    const flipped = Array.from({ length: Math.floor(bitCount / 97) }, (_, step) => {
      const bit = 97 * step;
      return flip(made.document, from + (bit >> 3), 1 << (bit & 7));
    });
    const codes = await Promise.all(flipped.map(verdictOf));
    expect(codes.length).toBeGreaterThan(150);
    expect(codes.filter((code) => code === "accepted")).toEqual([]);
  });

  test("S01: all 40 of the protected header", async () => {
    for (let bit = 0; bit < 40; bit++) {
      expect(await verdictOf(flip(made.document, 1 + (bit >> 3), 1 << (bit & 7)))).not.toBe("accepted");
    }
  });
});
