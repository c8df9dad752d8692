/**
 * Rows B01 to B31: what is no CBOR, or not the CBOR that NSM writes.
 */
import { describe, expect, test } from "vitest";
import { verifyAttestation } from "../../shared/attestation/index.ts";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { type Forged, forge, longHead, Raw } from "./cbor-writer.ts";
import { codeOf, describeRows, field, MALFORMED, policyFor, type Row, SIZE, variants } from "./row.ts";
import { makeDocument, NOW, type PayloadFields, PCR } from "./test-pki.ts";

const raw = (hex: string): Raw => new Raw(fromHex(hex));
const entry = (key: Forged, value: Forged): Partial<Row> => ({
  payload: (fields: PayloadFields) => void fields.set(key, value),
});
/** The payload map in definite form. */
const definite: Partial<Row> = { payloadBytes: (p) => concat(fromHex("a9"), p.subarray(1, -1)) };
const chunked = (bytes: Uint8Array): Raw => new Raw(concat(fromHex("5f"), encodeCbor(bytes), fromHex("ff")));
/** Each of the major types with additional information `info`, as the value of an unknown field. */
const majors = (info: number, which: readonly number[]): [string, Partial<Row>][] =>
  which.map((major) => [`major type ${major}`, entry("x", new Raw(Uint8Array.of((major << 5) | info, 0, 0, 0)))]);

const ROWS: readonly Row[] = [
  { id: "B01", why: "an empty buffer", bytes: () => new Uint8Array(0), expect: SIZE },
  { id: "B02", why: "one byte, 84", bytes: () => Uint8Array.of(0x84), expect: MALFORMED },
  { id: "B03", why: "32 769 bytes", ...padded(32_769), expect: SIZE },
  { id: "B03", why: "32 768 bytes, which are read", ...padded(32_768), expect: MALFORMED },
  ...variants("B04", MALFORMED, [
    ["base64", { bytes: (d) => utf8(Buffer.from(d).toString("base64")) }],
    ["base64url", { bytes: (d) => utf8(Buffer.from(d).toString("base64url")) }],
    ["hex", { bytes: (d) => utf8(Buffer.from(d).toString("hex")) }],
    ["PEM", { bytes: (d) => utf8(`-----BEGIN X-----\n${Buffer.from(d).toString("base64")}\n-----END X-----\n`) }],
  ]),
  { id: "B05", why: "one byte after the COSE array", bytes: (d) => concat(d, Uint8Array.of(0)), expect: MALFORMED },
  { id: "B06", why: "two documents", bytes: (d) => concat(d, d), expect: MALFORMED },
  { id: "B07", why: "a byte after the payload map", payloadBytes: (p) => concat(p, fromHex("00")), expect: MALFORMED },
  { id: "B08", why: "an item after the break", payloadBytes: (p) => concat(p, fromHex("6161")), expect: MALFORMED },
  { id: "B09", why: "the payload map lacks its break", payloadBytes: (p) => p.subarray(0, -1), expect: MALFORMED },
  ...variants("B10", MALFORMED, [
    ["a break where a definite map has a key", { payloadBytes: (p) => concat(fromHex("aa"), p.subarray(1)) }],
    ["a break where a map has a value", entry("x", raw("ff"))],
  ]),
  {
    id: "B11",
    why: "an odd count",
    payloadBytes: (p) => concat(p.subarray(0, -1), fromHex("6161ff")),
    expect: MALFORMED,
  },
  ...[28, 29, 30].flatMap((info) =>
    variants("B12", MALFORMED, majors(info, [0, 1, 2, 3, 4, 5, 6, 7])).map(naming(info)),
  ),
  ...variants("B13", MALFORMED, majors(31, [0, 1, 6])),
  ...variants("B14", MALFORMED, [
    ["simple value 0 in two bytes", entry("x", raw("f800"))],
    ["simple value 31 in two bytes", entry("x", raw("f81f"))],
  ]),
  ...variants("B15", MALFORMED, [
    ["a half float as timestamp", entry("timestamp", raw("f97c00"))],
    ["NaN as timestamp", entry("timestamp", raw("f97e00"))],
    ["a float as timestamp", entry("timestamp", raw("fa5368d4a5"))],
    ["a double as timestamp", entry("timestamp", raw("fb4278000000000000"))],
    ["a float as key", entry(raw("fa00000000"), 1)],
  ]),
  ...variants("B16", MALFORMED, [
    ["undefined as nonce", entry("nonce", raw("f7"))],
    ["true as nonce", field("nonce", true)],
    ["false as module_id", field("module_id", false)],
    ["simple value 16", entry("x", raw("f0"))],
  ]),
  ...variants("B17", MALFORMED, [
    ["the payload in chunks", { message: (m) => void (m.payload = chunked(m.payload as Uint8Array)) }],
    ["the protected header in chunks", { message: (m) => void (m.protected = chunked(fromHex("a1013822"))) }],
    ["the signature in chunks", { message: (m) => void (m.signature = chunked) }],
    [
      "the certificate in chunks",
      { payload: (f) => void f.set("certificate", chunked(f.get("certificate") as Uint8Array)) },
    ],
    ["a PCR in chunks", field("pcrs", new Map<Forged, Forged>([[0, chunked(PCR(1))]]))],
  ]),
  ...variants("B18", MALFORMED, [
    ["a key in chunks", entry(raw("7f616bff"), 1)],
    ["module_id in chunks", entry("module_id", raw("7f6169ff"))],
  ]),
  ...variants("B19", MALFORMED, [
    ["a text chunk in bytes", entry("nonce", raw("5f6161ff"))],
    ["a chunk of chunks", entry("nonce", raw("5f5f4101ffff"))],
  ]),
  { id: "B20", why: "2^32 - 1 bytes announced", ...entry("x", raw("5affffffff000000")), expect: MALFORMED },
  ...variants("B21", MALFORMED, [
    ["2^53 bytes announced", entry("x", raw("5b0020000000000000"))],
    ["2^63 bytes announced", entry("x", raw("5b8000000000000000"))],
    ["2^64 - 1 bytes announced", entry("x", raw("5bffffffffffffffff"))],
  ]),
  ...variants("B22", MALFORMED, [
    ["2^31 items announced", entry("x", raw("9a8000000000"))],
    ["2^31 pairs announced", entry("x", raw("ba8000000000"))],
    ["2^64 - 1 pairs announced", entry("x", raw("bbffffffffffffffff"))],
  ]),
  ...[64, 1_000, 13_000].map((depth): Row => {
    return {
      id: "B23",
      why: `${depth} nested arrays`,
      ...entry("x", raw(`${"81".repeat(depth)}00`)),
      expect: MALFORMED,
    };
  }),
  ...variants("B24", MALFORMED, [
    ["PCR 0 as 1800", field("pcrs", new Map<Forged, Forged>([[longHead(0, 1), PCR(1)]]))],
    ["PCR 1 as 190001", field("pcrs", new Map<Forged, Forged>([[longHead(1, 2), PCR(1)]]))],
    ["PCR 1 in eight bytes", field("pcrs", new Map<Forged, Forged>([[longHead(1, 8), PCR(1)]]))],
    ["the header's label in two bytes", { message: (m) => void (m.protected = fromHex("a118013822")) }],
    ["a length in eight bytes", entry("nonce", raw(`5b0000000000000010${"09".repeat(16)}`))],
  ]),
  {
    id: "B25",
    why: "a length of 48 in two bytes",
    ...entry("nonce", raw(`590030${"09".repeat(48)}`)),
    expect: MALFORMED,
  },
  ...variants("B26", MALFORMED, [
    ["the payload's head as b809", { payloadBytes: (p) => concat(fromHex("b809"), p.subarray(1, -1)) }],
    ["the COSE array's head as 9804", { bytes: (d) => concat(fromHex("9804"), d.subarray(1)) }],
  ]),
  ...variants("B27", MALFORMED, [
    ["a bignum as timestamp", entry("timestamp", raw("c24801950000000000ff"))],
    ...["c0", "c1", "c2", "c3", "d818", "d820", "d9d9f7"].map((tag): [string, Partial<Row>] => [
      `tag ${tag}`,
      entry("nonce", raw(`${tag}50${"09".repeat(16)}`)),
    ]),
  ]),
  { id: "B28", why: "self-describe tag outside", bytes: (d) => concat(fromHex("d9d9f7"), d), expect: MALFORMED },
  ...variants("B29", MALFORMED, [
    ["an overlong key", entry(raw("62c080"), 1)],
    ["a lone surrogate in module_id", entry("module_id", raw("63eda080"))],
    ["ff in module_id", entry("module_id", raw("61ff"))],
  ]),
  ...["__proto__", "constructor", "toString"].map((key): Row => {
    const says: Row["says"] = ({ unknownFields }) => expect(unknownFields).toEqual([key]);
    return { id: "B30", why: `a field named ${key}`, ...entry(key, 1), says, expect: "accepted" };
  }),
  ...variants("B31", MALFORMED, [
    ["an array as key", entry(raw("80"), 1)],
    ["a map as key", entry(raw("a0"), 1)],
    ["bytes as key", entry(raw("4101"), 1)],
    ["null as key", entry(null, 1)],
  ]),
  ...variants("B29", MALFORMED, [
    ["a byte order mark before module_id", field("module_id", "\ufeffi-0")],
    ["a byte order mark alone as key", entry("\ufeff", 1)],
  ]),
  { id: "B31", why: "a key of 1 025 bytes", ...entry("k".repeat(1_022), 1), expect: MALFORMED },
  { id: "B31", why: "a key of 1 024 bytes", ...entry("k".repeat(1_021), 1), expect: "accepted" },
  { id: "baseline", why: "nothing is changed", expect: "accepted" },
  { id: "D29", why: "the payload map of definite length", ...definite, expect: "accepted" },
];

describeRows("CBOR", ROWS);

/** A document of exactly `length` bytes that is well-formed to its end: the rest stands in the unprotected header. */
function padded(length: number): Partial<Row> {
  const of = (size: number) => new Map<Forged, Forged>([[4, new Uint8Array(size)]]);
  return {
    message: (m) => {
      const rest = forge([m.protected, of(1_000), m.payload, new Uint8Array(96)]).length - 1_000;
      m.unprotected = of(length - rest);
    },
    bytes: (document) => {
      if (document.length !== length) throw new RangeError(`padded to ${document.length}`);
      return document;
    },
  };
}

function naming(info: number): (row: Row) => Row {
  return (row) => ({ ...row, why: `${row.why} with additional information ${info}` });
}

describe("the argument", () => {
  test.each<[string, unknown]>([
    ["null", null],
    ["a string", "hEShATgi"],
    ["a number", 132],
    ["an ArrayBuffer", new ArrayBuffer(8)],
    ["an array of numbers", [0x84]],
  ])("B01: %s is a mistake of the caller's", async (_, value) => {
    const verifying = verifyAttestation(value as Uint8Array, policyFor(Uint8Array.of(1)), { now: NOW });
    await expect(verifying).rejects.toThrow(TypeError);
  });

  test("B01: a detached buffer is empty", async () => {
    const { document, root } = await makeDocument();
    structuredCloneAway(document);
    expect(document.length).toBe(0);
    expect(await codeOf(verifyAttestation(document, policyFor(root), { now: NOW }))).toBe(SIZE);
  });

  test("B04: text is named as what it is, and not echoed", async () => {
    const { document, root } = await makeDocument();
    const text = Buffer.from(document).toString("base64");
    const error: unknown = await verifyAttestation(utf8(text), policyFor(root), { now: NOW }).catch((e: unknown) => e);
    expect(error).toMatchObject({ details: { path: "document", expected: expect.stringContaining("base64") } });
    expect(JSON.stringify(error)).not.toContain(text.slice(0, 16));
  });

  test("B29: bytes that are not UTF-8 are not echoed", async () => {
    const { document, root } = await makeDocument(
      entry("module_id", new Raw(concat(fromHex("66"), utf8("canar"), fromHex("ff")))),
    );
    const error: unknown = await verifyAttestation(document, policyFor(root), { now: NOW }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: MALFORMED });
    expect(`${JSON.stringify(error)} ${error} ${(error as Error).cause}`).not.toContain("canar");
  });

  test("B30: nobody's prototype is touched", async () => {
    const { document, root } = await makeDocument(entry("__proto__", new Uint8Array(16)));
    const attestation = await verifyAttestation(document, policyFor(root), { now: NOW });
    expect(Object.getPrototypeOf(attestation)).toBe(Object.prototype);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

function structuredCloneAway(bytes: Uint8Array): void {
  globalThis.structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
}

describe.skipIf(!hasVectors)("prefixes of a genuine document (needs the reference vectors)", () => {
  test("B02: every proper prefix is refused", async () => {
    const document = vector(vectorIndex().attestation[0]?.file ?? "");
    const policy = policyFor(Uint8Array.of(1));
    const codes = new Map<string, number>();
    for (let length = 0; length < document.length; length++) {
      const code = await codeOf(verifyAttestation(document.subarray(0, length), policy, { now: NOW }));
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    expect(Object.fromEntries(codes)).toEqual({ [SIZE]: 1, [MALFORMED]: document.length - 1 });
  });
});
