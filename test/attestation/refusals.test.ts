/**
 * Each row is the accepted baseline with one thing changed, signed anew under our own test PKI, so that only the rule
 * under test can refuse it. Row ids are those of the reference table of negative cases.
 */
import "reflect-metadata";
import { BasicConstraintsExtension, Extension, KeyUsageFlags, KeyUsagesExtension } from "@peculiar/x509";
import { describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  dangerouslyTrustRoot,
  encodeUserData,
  type UserData,
  type UserDataPolicy,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import type { encodeCbor } from "../../shared/cbor/encode.ts";
import { ATTESTATION_TABLE } from "../../shared/errors/attestation.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { type Edits, makeDocument, NOW, type PayloadFields, PCR } from "./test-pki.ts";

const NONCE = new Uint8Array(32).fill(9);

interface Row extends Edits {
  readonly id: string;
  readonly why: string;
  readonly policy?: Partial<AttestationPolicy>;
  readonly now?: Date;
  readonly expect: string;
}

async function verdict({ policy, now = NOW, ...edits }: Omit<Row, "id" | "why" | "expect">): Promise<string> {
  const { document, root } = await makeDocument(edits);
  const baseline: AttestationPolicy = {
    kind: "nsm",
    roots: [dangerouslyTrustRoot(root)],
    images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
    nonce: NONCE,
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
  try {
    await verifyAttestation(document, { ...baseline, ...policy }, { now, clockSkewMs: 0 });
    return "accepted";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return error.code;
  }
}

const field = (name: string, value: Parameters<typeof encodeCbor>[0]) => ({
  payload: (fields: PayloadFields) => void fields.set(name, value),
});
const without = (name: string) => ({ payload: (fields: PayloadFields) => void fields.delete(name) });
const instead = (name: string, other: string) => ({
  payload: (fields: PayloadFields) => {
    fields.set(other, fields.get(name) ?? null);
    fields.delete(name);
  },
});
const hours = (count: number): Date => new Date(NOW.getTime() + count * 3_600_000);
const pcrs = (entries: [number, Uint8Array][]) => field("pcrs", new Map([...entries]));
const genuinePcrs: [number, Uint8Array][] = [
  [0, PCR(1)],
  [1, PCR(2)],
  [2, PCR(3)],
];
const header = (hex: string) => ({
  message: (message: { protected: unknown }) => void (message.protected = fromHex(hex)),
});
const constraints = (isCa: boolean, pathLength: number | undefined, isCritical: boolean): Extension =>
  new BasicConstraintsExtension(isCa, pathLength, isCritical);
const signing = KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature;
const usage = (flags: number): Extension => new KeyUsagesExtension(flags, true);
const unknown = (isCritical: boolean): Extension => new Extension("1.2.3.4", isCritical, Uint8Array.of(5, 0));
const withExtensions = (index: number, ...extensions: Extension[]) => ({
  chain: (list: { extensions?: Extension[] }[]) => void (list[index] && (list[index].extensions = extensions)),
});

const MALFORMED = "ERR_ATTESTATION_MALFORMED";
const ALGORITHM = "ERR_ATTESTATION_ALGORITHM";
const CHAIN = "ERR_ATTESTATION_CHAIN";
const TIME = "ERR_ATTESTATION_CERTIFICATE_TIME";

const ROWS: readonly Row[] = [
  { id: "baseline", why: "nothing is changed", expect: "accepted" },
  { id: "B01", why: "an empty buffer", bytes: () => new Uint8Array(0), expect: "ERR_ATTESTATION_SIZE" },
  { id: "B03", why: "32 769 bytes", bytes: () => new Uint8Array(32_769).fill(0x84), expect: "ERR_ATTESTATION_SIZE" },
  { id: "B05", why: "one byte after the COSE array", bytes: (d) => concat(d, Uint8Array.of(0)), expect: MALFORMED },
  { id: "B06", why: "two documents", bytes: (d) => concat(d, d), expect: MALFORMED },
  {
    id: "B07",
    why: "a byte after the payload map",
    payloadBytes: (p) => concat(p, Uint8Array.of(0)),
    expect: MALFORMED,
  },
  { id: "B09", why: "the payload map lacks its break", payloadBytes: (p) => p.subarray(0, -1), expect: MALFORMED },
  { id: "B16", why: "a field is true", ...field("nonce", true), expect: MALFORMED },
  {
    id: "B26",
    why: "a map header that is not minimal",
    bytes: (d) => concat(Uint8Array.of(0x98, 4), d.subarray(1)),
    expect: MALFORMED,
  },
  { id: "B28", why: "self-describe tag outside", bytes: (d) => concat(fromHex("d9d9f7"), d), expect: MALFORMED },
  { id: "C00", why: "tag 18 in shortest form", bytes: (d) => concat(Uint8Array.of(0xd2), d), expect: "accepted" },
  { id: "C03", why: "tag 18 twice", bytes: (d) => concat(Uint8Array.of(0xd2, 0xd2), d), expect: MALFORMED },
  { id: "C04", why: "tag 18 not minimal", bytes: (d) => concat(Uint8Array.of(0xd8, 0x12), d), expect: MALFORMED },
  { id: "C06", why: "protected header empty", ...header(""), expect: ALGORITHM },
  { id: "C07", why: "no alg in the protected header", ...header("a0"), expect: ALGORITHM },
  { id: "C08", why: "a byte after the protected header", ...header("a101382200"), expect: MALFORMED },
  { id: "C09", why: "alg ES256", ...header("a10126"), expect: ALGORITHM },
  { id: "C11", why: "alg twice", ...header("a2013822013822"), expect: MALFORMED },
  { id: "C12", why: "an extra protected label", ...header("a201382204410a"), expect: MALFORMED },
  {
    id: "C14",
    why: "something unprotected",
    message: (m) => void (m.unprotected = new Map([[4, 1]])),
    expect: MALFORMED,
  },
  {
    id: "C20",
    why: "signed in another context",
    message: (m) => void (m.context = "Signature"),
    expect: "ERR_ATTESTATION_SIGNATURE",
  },
  {
    id: "S01",
    why: "one bit of the signature",
    bytes: (d) => d.with(-1, (d.at(-1) ?? 0) ^ 1),
    expect: "ERR_ATTESTATION_SIGNATURE",
  },
  {
    id: "S02",
    why: "a signature of 95 bytes",
    bytes: (d) => concat(d.subarray(0, -98), Uint8Array.of(0x58, 95), d.subarray(-95)),
    expect: MALFORMED,
  },
  {
    id: "S03",
    why: "r and s zero",
    bytes: (d) => concat(d.subarray(0, -96), new Uint8Array(96)),
    expect: "ERR_ATTESTATION_SIGNATURE",
  },
  {
    id: "S08",
    why: "signed by the instance CA",
    message: (m) => void (m.signer = 3),
    expect: "ERR_ATTESTATION_SIGNATURE",
  },
  ...["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"].flatMap((name, index): Row[] => [
    { id: `D0${index + 1}`, why: `${name} absent`, ...without(name), expect: MALFORMED },
    {
      id: `D0${index + 7}`.replace("D010", "D10").replace("D011", "D11").replace("D012", "D12"),
      why: `${name} null`,
      ...field(name, null),
      expect: MALFORMED,
    },
  ]),
  {
    id: "D14",
    why: "a key of another spelling",
    ...instead("pcrs", "PCRs"),
    expect: MALFORMED,
  },
  { id: "D15", why: "an unknown field with a simple value", ...field("new_field", 1), expect: "accepted" },
  { id: "D16", why: "nitrotpm_pcrs beside pcrs", ...field("nitrotpm_pcrs", new Map(genuinePcrs)), expect: MALFORMED },
  {
    id: "D16b",
    why: "a NitroTPM document under an NSM policy",
    ...instead("pcrs", "nitrotpm_pcrs"),
    expect: "ERR_ATTESTATION_KIND",
  },
  { id: "D17", why: "module_id empty", ...field("module_id", ""), expect: MALFORMED },
  { id: "D18", why: "digest SHA256", ...field("digest", "SHA256"), expect: MALFORMED },
  { id: "D19", why: "timestamp 0", ...field("timestamp", 0), expect: MALFORMED },
  { id: "D20", why: "no PCR", ...pcrs([]), expect: MALFORMED },
  { id: "D21", why: "PCR 32", ...pcrs([...genuinePcrs, [32, PCR(1)]]), expect: MALFORMED },
  { id: "D21b", why: "PCR 31", ...pcrs([...genuinePcrs, [31, PCR(1)]]), expect: "accepted" },
  { id: "D23", why: "a PCR of 47 bytes", ...pcrs([...genuinePcrs, [5, new Uint8Array(47)]]), expect: MALFORMED },
  { id: "D24", why: "cabundle empty", ...field("cabundle", []), expect: MALFORMED },
  { id: "D26", why: "user_data of 1 025 bytes", ...field("user_data", new Uint8Array(1_025)), expect: MALFORMED },
  { id: "D26b", why: "user_data of 1 024 bytes", ...field("user_data", new Uint8Array(1_024)), expect: "accepted" },
  { id: "D28", why: "nonce as text", ...field("nonce", "nonce"), expect: MALFORMED },
  {
    id: "X01",
    why: "cabundle reversed",
    ...certs((c) => [...c.slice(0, -1).reverse(), ...c.slice(-1)]),
    expect: "ERR_ATTESTATION_ROOT_UNTRUSTED",
  },
  { id: "X01b", why: "two intermediates swapped", ...certs(([r, a, b, ...rest]) => [r, b, a, ...rest]), expect: CHAIN },
  {
    id: "X02",
    why: "another root",
    policy: { roots: [dangerouslyTrustRoot(Uint8Array.of(1))] },
    expect: "ERR_ATTESTATION_ROOT_UNTRUSTED",
  },
  {
    id: "X05",
    why: "the root with a byte behind it",
    ...certs(([r, ...rest]) => [concat(r ?? PCR(0), Uint8Array.of(0)), ...rest]),
    expect: "ERR_ATTESTATION_ROOT_UNTRUSTED",
  },
  { id: "X07", why: "an intermediate missing", ...certs(([r, , ...rest]) => [r, ...rest]), expect: CHAIN },
  { id: "X08", why: "a chain of seven", ...certs(([r, a, b, c, l]) => [r, a, b, b, b, c, l]), expect: MALFORMED },
  { id: "X10", why: "an issuer without basicConstraints", ...withExtensions(2, usage(signing)), expect: CHAIN },
  { id: "X11", why: "an issuer without keyUsage", ...withExtensions(2, constraints(true, 1, true)), expect: CHAIN },
  {
    id: "X12",
    why: "an issuer that is no CA",
    ...withExtensions(2, constraints(false, undefined, true), usage(signing)),
    expect: CHAIN,
  },
  {
    id: "X13",
    why: "an issuer without keyCertSign",
    ...withExtensions(2, constraints(true, 1, true), usage(KeyUsageFlags.digitalSignature)),
    expect: CHAIN,
  },
  {
    id: "X14",
    why: "basicConstraints not critical",
    ...withExtensions(2, constraints(true, 1, false), usage(signing)),
    expect: CHAIN,
  },
  {
    id: "X15",
    why: "the leaf is a CA",
    ...withExtensions(4, constraints(true, undefined, true), usage(signing)),
    expect: CHAIN,
  },
  {
    id: "X15b",
    why: "the leaf lacks digitalSignature",
    ...withExtensions(4, constraints(false, undefined, true), usage(KeyUsageFlags.nonRepudiation)),
    expect: CHAIN,
  },
  {
    id: "X17",
    why: "pathLen 1 over two CAs",
    ...withExtensions(1, constraints(true, 1, true), usage(signing)),
    expect: CHAIN,
  },
  {
    id: "X18",
    why: "issuer name differs",
    chain: (list) => void (list[3] && (list[3].issuer = "CN=Zonal")),
    expect: CHAIN,
  },
  {
    id: "X21",
    why: "an unknown critical extension",
    ...withExtensions(2, constraints(true, 1, true), usage(signing), unknown(true)),
    expect: CHAIN,
  },
  {
    id: "X21b",
    why: "an unknown extension, not critical",
    ...withExtensions(2, constraints(true, 1, true), usage(signing), unknown(false)),
    expect: "accepted",
  },
  {
    id: "X29",
    why: "an intermediate signed with SHA-256",
    chain: (list) => void (list[2] && (list[2].hash = "SHA-256")),
    expect: CHAIN,
  },
  {
    id: "S09",
    why: "the leaf key on P-256",
    chain: (list) => void (list[4] && (list[4].curve = "P-256")),
    message: (m) => void (m.signer = 3),
    expect: CHAIN,
  },
  {
    id: "X03",
    why: "a link whose issuer did not sign it",
    ...certs((c) => c.map((der = PCR(0), i) => (i === 3 ? der.with(-1, (der.at(-1) ?? 0) ^ 1) : der))),
    expect: CHAIN,
  },
  { id: "T01", why: "a second before the leaf begins", now: new Date(hours(-1).getTime() - 1_000), expect: TIME },
  {
    id: "T01b",
    why: "the last moment of the leaf",
    now: new Date(hours(2).getTime() + 999),
    policy: { maxAgeMs: "unchecked" },
    expect: "accepted",
  },
  { id: "T01c", why: "the second after the leaf", now: new Date(hours(2).getTime() + 1_000), expect: TIME },
  {
    id: "T04",
    why: "only the zonal expired",
    chain: (list) => void (list[2] && (list[2].notAfter = hours(-1))),
    expect: TIME,
  },
  {
    id: "T05",
    why: "made in the future",
    ...field("timestamp", BigInt(NOW.getTime() + 1)),
    expect: "ERR_ATTESTATION_TIMESTAMP",
  },
  {
    id: "T06",
    why: "a millisecond too old",
    ...field("timestamp", BigInt(NOW.getTime() - 60_001)),
    expect: "ERR_ATTESTATION_STALE",
  },
  { id: "T06b", why: "as old as allowed", ...field("timestamp", BigInt(NOW.getTime() - 60_000)), expect: "accepted" },
  {
    id: "T07",
    why: "made before its leaf",
    ...field("timestamp", BigInt(hours(-2).getTime())),
    expect: "ERR_ATTESTATION_TIMESTAMP",
  },
  {
    id: "N01",
    why: "no nonce where one is demanded",
    ...field("nonce", null),
    expect: "ERR_ATTESTATION_NONCE_MISMATCH",
  },
  {
    id: "N02",
    why: "a nonce that differs in its last byte",
    ...field("nonce", NONCE.with(-1, 8)),
    expect: "ERR_ATTESTATION_NONCE_MISMATCH",
  },
  {
    id: "N02b",
    why: "a nonce with a byte more",
    ...field("nonce", concat(NONCE, Uint8Array.of(9))),
    expect: "ERR_ATTESTATION_NONCE_MISMATCH",
  },
  {
    id: "N07",
    why: "user data demanded, absent",
    policy: { userData: new Uint8Array(0) },
    expect: "ERR_ATTESTATION_USER_DATA_MISMATCH",
  },
  {
    id: "N08",
    why: "another public key",
    policy: { publicKey: Uint8Array.of(1) },
    expect: "ERR_ATTESTATION_PUBLIC_KEY_MISMATCH",
  },
  ...[0, 1, 2].map(
    (index): Row => ({
      id: `P0${index + 1}`,
      why: `PCR${index} zero`,
      ...pcrs(genuinePcrs.map(([i, value]) => [i, i === index ? PCR(0) : value])),
      expect: "ERR_ATTESTATION_DEBUG_MODE",
    }),
  ),
  ...[0, 1, 2].map(
    (index): Row => ({
      id: `P06-${index}`,
      why: `PCR${index} differs`,
      ...pcrs(genuinePcrs.map(([i, value]) => [i, i === index ? PCR(7) : value])),
      expect: "ERR_ATTESTATION_PCR_MISMATCH",
    }),
  ),
  { id: "P10", why: "the document has only PCR10", ...pcrs([[10, PCR(1)]]), expect: "ERR_ATTESTATION_PCR_MISMATCH" },
  {
    id: "P11",
    why: "PCR0 of one image, PCR1 of another",
    policy: {
      images: [
        { 0: PCR(1), 1: PCR(8), 2: PCR(3) },
        { 0: PCR(8), 1: PCR(2), 2: PCR(3) },
      ],
    },
    expect: "ERR_ATTESTATION_PCR_MISMATCH",
  },
  {
    id: "P11b",
    why: "the second image matches whole",
    policy: {
      images: [
        { 0: PCR(8), 1: PCR(8), 2: PCR(8) },
        { 0: PCR(1), 1: PCR(2), 2: PCR(3) },
      ],
    },
    expect: "accepted",
  },
  {
    id: "P12",
    why: "expected in upper-case hex",
    policy: { images: [{ 0: "01".repeat(48), 1: "02".repeat(48), 2: "03".repeat(48).toUpperCase() }] },
    expect: "accepted",
  },
  {
    id: "P14",
    why: "PCR16 demanded, absent",
    policy: { images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3), 16: PCR(4) }] },
    expect: "ERR_ATTESTATION_PCR_MISMATCH",
  },
  {
    id: "PCR4",
    why: "module_id of another instance",
    ...field("module_id", "i-0fedcba987654321f-enc0123456789abcdef"),
    expect: "ERR_ATTESTATION_MODULE_ID_MISMATCH",
  },
];

const DIGEST = new Uint8Array(48).fill(5);
const purposeful = (fields: Partial<UserData> = {}) =>
  field("user_data", encodeUserData({ purpose: "result", digest: DIGEST, imageVersion: 7, ...fields }));
const demanding = (fields: Partial<UserDataPolicy> = {}): Partial<AttestationPolicy> => ({
  userData: { purpose: "result", digest: DIGEST, minimumImageVersion: 7, ...fields },
});
const USER_DATA = "ERR_ATTESTATION_USER_DATA_MISMATCH";
const REVOKED = "ERR_ATTESTATION_IMAGE_REVOKED";

const POLICY_ROWS: readonly Row[] = [
  {
    id: "P15",
    why: "the image is revoked although it is allowed",
    policy: { revokedImages: [{ 0: PCR(1) }] },
    expect: REVOKED,
  },
  { id: "P15b", why: "another image is revoked", policy: { revokedImages: [{ 0: PCR(9) }] }, expect: "accepted" },
  {
    id: "P15c",
    why: "a revoked entry matches in one register of two",
    policy: { revokedImages: [{ 0: PCR(1), 1: PCR(9) }] },
    expect: "accepted",
  },
  {
    id: "P15d",
    why: "a revoked entry names a register the document lacks",
    policy: { revokedImages: [{ 0: PCR(1), 8: PCR(9) }] },
    expect: "accepted",
  },
  {
    id: "U01",
    why: "the purpose, digest and version demanded",
    ...purposeful(),
    policy: demanding(),
    expect: "accepted",
  },
  { id: "U02", why: "another purpose", ...purposeful({ purpose: "kms" }), policy: demanding(), expect: USER_DATA },
  { id: "U03", why: "another digest", ...purposeful({ digest: PCR(6) }), policy: demanding(), expect: USER_DATA },
  {
    id: "U04",
    why: "any digest",
    ...purposeful({ digest: PCR(6) }),
    policy: demanding({ digest: "unchecked" }),
    expect: "accepted",
  },
  {
    id: "U05",
    why: "a version too old",
    ...purposeful({ imageVersion: 6 }),
    policy: demanding(),
    expect: "ERR_ATTESTATION_IMAGE_VERSION",
  },
  { id: "U06", why: "a later version", ...purposeful({ imageVersion: 8 }), policy: demanding(), expect: "accepted" },
  {
    id: "U07",
    why: "no version where one is demanded",
    ...field("user_data", encodeUserData({ purpose: "result", digest: DIGEST })),
    policy: demanding(),
    expect: "ERR_ATTESTATION_IMAGE_VERSION",
  },
  {
    id: "U08",
    why: "no version, none demanded",
    ...field("user_data", encodeUserData({ purpose: "result", digest: DIGEST })),
    policy: demanding({ minimumImageVersion: "unchecked" }),
    expect: "accepted",
  },
  { id: "U09", why: "no user data", ...field("user_data", null), policy: demanding(), expect: USER_DATA },
  {
    id: "U10",
    why: "the same fields written another way",
    ...field("user_data", utf8(JSON.stringify({ purpose: "result", v: 1, digest: "05".repeat(48) }))),
    policy: demanding({ minimumImageVersion: "unchecked" }),
    expect: USER_DATA,
  },
  {
    id: "U11",
    why: "a version beyond 2^53",
    ...field(
      "user_data",
      utf8(`{"v":1,"purpose":"result","digest":"${"05".repeat(48)}","imageVersion":9007199254740993}`),
    ),
    policy: demanding(),
    expect: USER_DATA,
  },
  {
    id: "U12",
    why: "user data that is not text",
    ...field("user_data", new Uint8Array(64).fill(0xff)),
    policy: demanding(),
    expect: USER_DATA,
  },
];

function certs(edit: (list: (Uint8Array | undefined)[]) => (Uint8Array | undefined)[]): Edits {
  return { certificates: (list) => edit(list).filter((der) => der !== undefined) };
}

describe("verifyAttestation", () => {
  test.each([...ROWS, ...POLICY_ROWS])(
    "$id: $why → $expect",
    async ({ id: _id, why: _why, expect: wanted, ...row }) => {
      expect(await verdict(row)).toBe(wanted);
    },
  );

  test("every code has a row", () => {
    // The last five are about what a verifier remembers: state.test.ts.
    const remembered = /_(REPLAYED|REPLAY_GUARD_FULL|CHALLENGE_UNKNOWN|CHALLENGE_EXPIRED|CHALLENGES_EXHAUSTED)$/;
    const seen = new Set([...ROWS, ...POLICY_ROWS].map((row) => row.expect));
    expect(Object.keys(ATTESTATION_TABLE).filter((code) => !seen.has(code) && !remembered.test(code))).toEqual([]);
  });

  test("row ids are unique", () => {
    const ids = [...ROWS, ...POLICY_ROWS].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
