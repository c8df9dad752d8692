/**
 * Rows D01 to D29: what is CBOR and COSE, but no attestation document; and what genuine ones may look like.
 */
import { expect } from "vitest";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import { type Forged, forge, forgeIndefinite, longHead, Raw } from "./cbor-writer.ts";
import { describeRows, field, MALFORMED, type Row, TIMESTAMP, variants } from "./row.ts";
import { NOW, type PayloadFields, PCR } from "./test-pki.ts";

const MANDATORY = ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"];
const OPTIONAL = ["public_key", "user_data", "nonce"];
const id = (number: number): string => `D${String(number).padStart(2, "0")}`;
const fields = (edit: (fields: PayloadFields) => void): Partial<Row> => ({ payload: edit });
const without = (name: string): Partial<Row> => fields((f) => void f.delete(name));
const instead = (name: string, other: Forged): Partial<Row> =>
  fields((f) => {
    f.set(other, f.get(name) ?? null);
    f.delete(name);
  });
const text = (name: string): Raw => new Raw(forge(name));
const bundle = (edit: (list: Forged[]) => Forged): Partial<Row> =>
  fields((f) => void f.set("cabundle", edit([...(f.get("cabundle") as Forged[])])));

const SHAPES = ["the root map", "pcrs", "cabundle"];
const TWICE = [...MANDATORY, ...OPTIONAL];

const ROWS: readonly Row[] = [
  ...MANDATORY.map(
    (name, index): Row => ({ id: id(1 + index), why: `${name} absent`, ...without(name), expect: MALFORMED }),
  ),
  ...MANDATORY.map(
    (name, index): Row => ({ id: id(7 + index), why: `${name} null`, ...field(name, null), expect: MALFORMED }),
  ),
  ...TWICE.map(
    (name): Row => ({
      id: "D13",
      why: `${name} twice, the same`,
      ...fields((f) => void f.set(text(name), f.get(name) ?? null)),
      expect: MALFORMED,
    }),
  ),
  ...TWICE.map(
    (name): Row => ({
      id: "D13",
      why: `${name} twice, then null`,
      ...fields((f) => void f.set(text(name), null)),
      expect: MALFORMED,
    }),
  ),
  {
    id: "D13",
    why: "nonce twice, once with a long head",
    ...fields((f) => void f.set(longHead("nonce", 1), null)),
    expect: MALFORMED,
  },
  {
    id: "D13",
    why: "nonce twice in a map of definite length",
    ...fields((f) => void f.set(text("nonce"), f.get("nonce") ?? null)),
    payloadBytes: (p) => concat(fromHex("aa"), p.subarray(1, -1)),
    expect: MALFORMED,
  },
  ...variants("D14", MALFORMED, [
    ["a key as bytes", instead("pcrs", utf8("pcrs"))],
    ["a key as integer", fields((f) => void f.set(1, 1))],
    ["PCRs", instead("pcrs", "PCRs")],
    ["pcrs with a NUL", instead("pcrs", "pcrs\u0000")],
    ["pcrs with a space", instead("pcrs", "pcrs ")],
  ]),
  ...[1, -1, "text", true, null, PCR(1)].map(
    (value): Row => ({
      id: "D15",
      why: `an unknown field, ${value instanceof Uint8Array ? "bytes" : value}`,
      ...field("new_field", value),
      says: ({ unknownFields }) => expect(unknownFields).toEqual(["new_field"]),
      expect: "accepted",
    }),
  ),
  ...variants("D15", MALFORMED, [
    ["an unknown field that is an array", field("new_field", [])],
    ["an unknown field that is a map", field("new_field", new Map())],
  ]),
  { id: "D16", why: "nitrotpm_pcrs beside pcrs", ...field("nitrotpm_pcrs", new Map([[0, PCR(1)]])), expect: MALFORMED },
  {
    id: "D16",
    why: "a NitroTPM document under an NSM policy",
    ...instead("pcrs", "nitrotpm_pcrs"),
    expect: "ERR_ATTESTATION_KIND",
  },
  {
    id: "D16",
    why: "a NitroTPM document under its own policy",
    ...instead("pcrs", "nitrotpm_pcrs"),
    policy: { kind: "nitrotpm" },
    expect: "accepted",
  },
  {
    id: "D16",
    why: "an NSM document under a NitroTPM policy",
    policy: { kind: "nitrotpm" },
    expect: "ERR_ATTESTATION_KIND",
  },
  ...variants("D17", MALFORMED, [
    ["module_id empty", field("module_id", "")],
    ["1 025 characters", field("module_id", "i".repeat(1_025))],
    ["a control character", field("module_id", "i-0\n")],
    ["DEL", field("module_id", "i-0\u007f")],
    ["bytes", field("module_id", utf8("i-0"))],
  ]),
  {
    id: "D17",
    why: "1 024 characters, which are text",
    ...field("module_id", "i".repeat(1_024)),
    expect: "ERR_ATTESTATION_MODULE_ID_MISMATCH",
  },
  ...variants("D18", MALFORMED, [
    ...["SHA256", "SHA512", "sha384", "SHA384\u0000", ""].map((digest): [string, Partial<Row>] => [
      `digest ${JSON.stringify(digest)}`,
      field("digest", digest),
    ]),
    ["digest as bytes", field("digest", utf8("SHA384"))],
  ]),
  ...variants("D19", MALFORMED, [
    ["timestamp 0", field("timestamp", 0)],
    ["timestamp -1", field("timestamp", -1)],
    ["timestamp 2^53", field("timestamp", 2n ** 53n)],
    ["timestamp 2^64 - 1", field("timestamp", 2n ** 64n - 1n)],
    ["timestamp as text", field("timestamp", NOW.toISOString())],
  ]),
  {
    id: "D19",
    why: "seconds instead of milliseconds",
    ...field("timestamp", BigInt(NOW.getTime() / 1_000)),
    expect: TIMESTAMP,
  },
  ...variants("D24", MALFORMED, [
    ["cabundle empty", field("cabundle", [])],
    ["cabundle null", field("cabundle", null)],
    ["cabundle a map", field("cabundle", new Map())],
    ["17 entries", bundle((list) => Array.from({ length: 17 }, () => list[0] ?? null))],
    ["six entries", bundle((list) => [...list, ...list.slice(0, 2)])],
    ["an entry empty", bundle((list) => list.with(2, new Uint8Array(0)))],
    ["the first entry empty", bundle((list) => list.with(0, new Uint8Array(0)))],
    ["an entry of 1 025 bytes", bundle((list) => list.with(2, new Uint8Array(1_025)))],
    ["an entry as text", bundle((list) => list.with(2, "MII"))],
    ["an entry null", bundle((list) => list.with(2, null))],
    ["a nested array", bundle((list) => [list])],
  ]),
  ...variants("D25", MALFORMED, [
    ["certificate empty", field("certificate", new Uint8Array(0))],
    ["certificate of 1 025 bytes", field("certificate", new Uint8Array(1_025))],
    ["certificate as text", field("certificate", "MII")],
    ["certificate an array", fields((f) => void f.set("certificate", [f.get("certificate") ?? null]))],
  ]),
  ...OPTIONAL.map(
    (name): Row => ({
      id: "D26",
      why: `${name} of 1 025 bytes`,
      ...field(name, new Uint8Array(1_025)),
      expect: MALFORMED,
    }),
  ),
  ...OPTIONAL.flatMap((name): Row[] =>
    [1_024, 0].map((length) => ({
      id: "D26",
      why: `${name} of ${length} bytes`,
      ...field(name, new Uint8Array(length)),
      policy: { nonce: "unchecked" },
      expect: "accepted",
    })),
  ),
  {
    id: "D27",
    why: "user_data of 513 bytes, as genuine documents have",
    ...field("user_data", new Uint8Array(513)),
    expect: "accepted",
  },
  ...OPTIONAL.map((name): Row => ({ id: "D28", why: `${name} as text`, ...field(name, "text"), expect: MALFORMED })),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map(
    (combination): Row => ({
      id: "D29",
      why: `indefinite length: ${shapes(combination).join(", ") || "nowhere"}`,
      ...indefinite(combination),
      ...(combination === 1 && { isSigning: true }),
      expect: "accepted",
    }),
  ),
  {
    id: "D29",
    why: "fields in reverse order",
    ...fields((f) => reorder(f, (list) => list.reverse())),
    expect: "accepted",
  },
  {
    id: "D29",
    why: "fields in alphabetical order",
    ...fields((f) => reorder(f, (list) => list.sort())),
    expect: "accepted",
  },
  ...OPTIONAL.flatMap((name): Row[] => [
    { id: "D26", why: `${name} absent`, ...without(name), policy: { nonce: "unchecked" }, expect: "accepted" },
    {
      id: "D26",
      why: `${name} null`,
      ...field(name, null),
      ...(name === "user_data" && { isSigning: true }),
      policy: { nonce: "unchecked" },
      expect: "accepted",
    },
  ]),
];

function shapes(combination: number): string[] {
  return SHAPES.filter((_, bit) => ((combination >> bit) & 1) === 1);
}

function indefinite(combination: number): Partial<Row> {
  const [isRoot, isPcrs, isBundle] = SHAPES.map((_, bit) => ((combination >> bit) & 1) === 1);
  return {
    payload: (f) => {
      if (isPcrs) f.set("pcrs", new Raw(forgeIndefinite(f.get("pcrs") as Map<Forged, Forged>)));
      if (isBundle) f.set("cabundle", new Raw(forgeIndefinite(f.get("cabundle") as Forged[])));
    },
    ...(!isRoot && { payloadBytes: (p: Uint8Array) => concat(fromHex("a9"), p.subarray(1, -1)) }),
  };
}

function reorder(map: PayloadFields, order: (entries: [Forged, Forged][]) => [Forged, Forged][]): void {
  const entries = order([...map]);
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}

describeRows("payload", ROWS);
