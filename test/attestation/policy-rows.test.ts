/**
 * Rows N01 to N10 and P01 to P15: authentic documents that are not the one the policy demands.
 */
import { generateKeyPairSync } from "node:crypto";
import { expect } from "vitest";
import type { ImageMeasurements } from "../../shared/attestation/index.ts";
import { concat, toHex, utf8 } from "../../shared/bytes.ts";
import type { Forged } from "./cbor-writer.ts";
import { bits, integer, NULL, oid, sequence } from "./der-writer.ts";
import { describeRows, field, MALFORMED, NONCE, type Row, variants } from "./row.ts";
import { instancePcr, newKeys, type PayloadFields, PCR } from "./test-pki.ts";

const NO_NONCE = "ERR_ATTESTATION_NONCE_MISMATCH";
const USER_DATA = "ERR_ATTESTATION_USER_DATA_MISMATCH";
const PUBLIC_KEY = "ERR_ATTESTATION_PUBLIC_KEY_MISMATCH";
const MISMATCH = "ERR_ATTESTATION_PCR_MISMATCH";
const DEBUG = "ERR_ATTESTATION_DEBUG_MODE";
const REVOKED = "ERR_ATTESTATION_IMAGE_REVOKED";

const IMAGE: ImageMeasurements = { 0: PCR(1), 1: PCR(2), 2: PCR(3) };
/** Registers changed in the document. */
const registers = (changes: Record<number, Uint8Array>): Partial<Row> => ({
  payload: (fields: PayloadFields) => {
    const pcrs = fields.get("pcrs") as Map<Forged, Forged>;
    for (const [index, value] of Object.entries(changes)) pcrs.set(Number(index), value);
  },
});
const alone = (pcrs: [Forged, Forged][]): Partial<Row> => field("pcrs", new Map<Forged, Forged>(pcrs));
const images = (...list: [ImageMeasurements, ...ImageMeasurements[]]): Partial<Row> => ({ policy: { images: list } });
const zero = (...indexes: number[]): Partial<Row> =>
  registers(Object.fromEntries(indexes.map((index) => [index, PCR(0)])));

const spkiOf = (bitLength: number): Uint8Array => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: bitLength });
  return new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
};
const RSA_2048 = spkiOf(2_048);
const RSA_EXPONENT_1 = sequence(
  sequence(oid("1.2.840.113549.1.1.1"), NULL),
  bits(sequence(integer(new Uint8Array(256).fill(1)), integer(1))),
);
const P256 = new Uint8Array(await crypto.subtle.exportKey("spki", (await newKeys("P-256")).publicKey));
const keyed = (publicKey: Forged): Partial<Row> => ({
  ...field("public_key", publicKey),
  policy: { publicKey: RSA_2048 },
});

const ROWS: readonly Row[] = [
  ...variants("N01", NO_NONCE, [
    ["no nonce", { payload: (f) => void f.delete("nonce") }],
    ["a nonce of null", field("nonce", null)],
    ["an empty nonce", field("nonce", new Uint8Array(0))],
  ]),
  ...variants("N02", NO_NONCE, [
    ["another last byte", field("nonce", NONCE.with(-1, 8))],
    ["another first byte", field("nonce", NONCE.with(0, 8))],
    ["a prefix", field("nonce", NONCE.subarray(0, 31))],
    ["a byte more", field("nonce", concat(NONCE, Uint8Array.of(9)))],
  ]),
  ...variants("N07", USER_DATA, [
    ["empty demanded, absent", { payload: (f) => void f.delete("user_data"), policy: { userData: new Uint8Array(0) } }],
    ["empty demanded, null", { ...field("user_data", null), policy: { userData: new Uint8Array(0) } }],
    ["one byte differs", { ...field("user_data", utf8("datb")), policy: { userData: utf8("data") } }],
    ["empty where some is demanded", { ...field("user_data", new Uint8Array(0)), policy: { userData: utf8("data") } }],
  ]),
  {
    id: "N07",
    why: "empty demanded, empty",
    ...field("user_data", new Uint8Array(0)),
    policy: { userData: new Uint8Array(0) },
    expect: "accepted",
  },
  ...variants("N08", PUBLIC_KEY, [
    ["another key", keyed(spkiOf(2_048))],
    ["no key", keyed(null)],
    ["an empty key", keyed(new Uint8Array(0))],
    ["PKCS #1 instead of SPKI", keyed(RSA_2048.subarray(24))],
    ["RSA-1024", keyed(spkiOf(1_024))],
    ["exponent 1", keyed(RSA_EXPONENT_1)],
    ["a P-256 key", keyed(P256)],
    ["a byte behind", keyed(concat(RSA_2048, Uint8Array.of(0)))],
    ["19 bytes of text", keyed(utf8("my super secret key"))],
  ]),
  { id: "N08", why: "the key demanded", ...keyed(RSA_2048), expect: "accepted" },
  {
    id: "N09",
    why: "the key of a session that another holds",
    ...field("public_key", P256),
    policy: { publicKey: RSA_2048 },
    expect: PUBLIC_KEY,
  },
  {
    id: "N10",
    why: "the same image on another instance, where the instance is pinned",
    ...images({ ...IMAGE, 4: PCR(9) }),
    expect: MISMATCH,
  },
  {
    id: "N10",
    why: "the instance that is pinned",
    ...images({ ...IMAGE, 4: await instancePcr() }),
    expect: "accepted",
  },
  {
    id: "N10",
    why: "a module_id of another instance",
    ...field("module_id", "i-0fedcba987654321f-enc0123456789abcdef"),
    expect: "ERR_ATTESTATION_MODULE_ID_MISMATCH",
  },
  {
    id: "N10",
    why: "a module_id that names no instance",
    ...field("module_id", "enclave"),
    expect: "ERR_ATTESTATION_MODULE_ID_MISMATCH",
  },
  { id: "P01", why: "PCR0 zero", ...zero(0), expect: DEBUG },
  { id: "P02", why: "PCR1 zero", ...zero(1), expect: DEBUG },
  { id: "P03", why: "PCR2 zero", ...zero(2), expect: DEBUG },
  { id: "P04", why: "all three zero", ...zero(0, 1, 2), expect: DEBUG },
  {
    id: "P05",
    why: "debug mode under its dangerous name",
    ...zero(0, 1, 2),
    policy: { images: [{ 0: PCR(0), 1: PCR(0), 2: PCR(0) }], dangerouslyAllowDebug: true },
    says: ({ debug }) => expect(debug).toBe(true),
    expect: "accepted",
  },
  {
    id: "P05",
    why: "the dangerous name does not replace the measurements",
    ...zero(0, 1, 2),
    policy: { dangerouslyAllowDebug: true },
    expect: MISMATCH,
  },
  {
    id: "P05",
    why: "no debug mode, though allowed",
    policy: { dangerouslyAllowDebug: true },
    says: ({ debug }) => expect(debug).toBe(false),
    expect: "accepted",
  },
  ...variants("P06", MISMATCH, [
    ["PCR8 demanded, zero", { ...zero(8), ...images({ ...IMAGE, 8: PCR(4) }) }],
    ["PCR8 demanded, absent", images({ ...IMAGE, 8: PCR(4) })],
    ["PCR8 demanded as zero, absent", images({ ...IMAGE, 8: PCR(0) })],
    ...[0, 1, 2].map((index): [string, Partial<Row>] => [`PCR${index} differs`, registers({ [index]: PCR(7) })]),
    ["the last bit of PCR2 differs", registers({ 2: PCR(3).with(-1, 2) })],
  ]),
  { id: "P10", why: "the document has only PCR10", ...alone([[10, PCR(1)]]), expect: MISMATCH },
  {
    id: "P10",
    why: "the document lacks PCR0",
    ...alone([
      [1, PCR(2)],
      [2, PCR(3)],
    ]),
    expect: MISMATCH,
  },
  {
    id: "P11",
    why: "PCR0 of one image, PCR1 of another",
    ...images({ ...IMAGE, 1: PCR(8) }, { ...IMAGE, 0: PCR(8) }),
    expect: MISMATCH,
  },
  {
    id: "P11",
    why: "the second image matches whole",
    ...images({ 0: PCR(8), 1: PCR(8), 2: PCR(8) }, IMAGE),
    expect: "accepted",
  },
  ...variants("P12", "accepted", [
    ["upper-case hex", images({ 0: "ab".repeat(48).toUpperCase(), 1: PCR(2), 2: PCR(3) })],
    ["lower-case hex", images({ 0: "ab".repeat(48), 1: PCR(2), 2: PCR(3) })],
    ["a Buffer", images({ 0: Buffer.alloc(48, 0xab), 1: PCR(2), 2: PCR(3) })],
  ]).map((row): Row => ({ ...row, ...registers({ 0: PCR(0xab) }) })),
  { id: "P13", why: "a prefix of the expected value", ...registers({ 0: PCR(1).subarray(0, 47) }), expect: MALFORMED },
  {
    id: "P13",
    why: "the expected value and a byte",
    ...registers({ 0: concat(PCR(1), PCR(1).subarray(0, 1)) }),
    expect: MALFORMED,
  },
  { id: "P14", why: "PCR16 demanded, absent", ...images({ ...IMAGE, 16: PCR(4) }), expect: MISMATCH },
  {
    id: "P14",
    why: "PCR16 demanded, another",
    ...registers({ 16: PCR(5) }),
    ...images({ ...IMAGE, 16: PCR(4) }),
    expect: MISMATCH,
  },
  {
    id: "P14",
    why: "PCR16 demanded, there",
    ...registers({ 16: PCR(4) }),
    ...images({ ...IMAGE, 16: PCR(4) }),
    expect: "accepted",
  },
  ...variants("P15", REVOKED, [
    ["the image is revoked although it is allowed", { policy: { revokedImages: [{ 0: PCR(1) }] } }],
    [
      "the image is one of two revoked",
      { policy: { revokedImages: [{ 0: PCR(9) }, { 0: toHex(PCR(1)), 2: PCR(3) }] } },
    ],
    [
      "a NitroTPM document that names no PCR0",
      {
        payload: (f) => {
          f.set("nitrotpm_pcrs", new Map<Forged, Forged>([[7, PCR(4)]]));
          f.delete("pcrs");
        },
        policy: { kind: "nitrotpm", images: [{ 7: PCR(4) }], revokedImages: [{ 7: PCR(4) }] },
      },
    ],
  ]),
  ...variants("P15", "accepted", [
    ["another image is revoked", { policy: { revokedImages: [{ 0: PCR(9) }] } }],
    ["a revoked entry matches in one register of two", { policy: { revokedImages: [{ 0: PCR(1), 1: PCR(9) }] } }],
    ["a revoked entry names a register the document lacks", { policy: { revokedImages: [{ 0: PCR(1), 8: PCR(9) }] } }],
  ]),
];

describeRows("policy", ROWS);
