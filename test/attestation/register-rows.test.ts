/**
 * Rows D20 to D23: registers by number and size, and the sets of them that genuine documents have.
 */
import { expect } from "vitest";
import { fromHex } from "../../shared/bytes.ts";
import { type Forged, longHead, Raw } from "./cbor-writer.ts";
import { describeRows, field, MALFORMED, type Row, variants } from "./row.ts";
import { type PayloadFields, PCR } from "./test-pki.ts";

const fields = (edit: (fields: PayloadFields) => void): Partial<Row> => ({ payload: edit });
const genuine: [Forged, Forged][] = [
  [0, PCR(1)],
  [1, PCR(2)],
  [2, PCR(3)],
];
const pcrs = (...entries: [Forged, Forged][]): Partial<Row> => field("pcrs", new Map<Forged, Forged>(entries));
const registers = (count: number): [Forged, Forged][] =>
  Array.from({ length: count }, (_, index) => [index, PCR(index === 4 ? 0 : index + 1)]);
/** All registers but the one that measures the instance, which the baseline pins. */
const many = (count: number): Partial<Row> =>
  fields((f) => {
    const measured = (f.get("pcrs") as Map<Forged, Forged>).get(4) ?? null;
    f.set("pcrs", new Map<Forged, Forged>([...registers(count), [4, measured]]));
  });

const ROWS: readonly Row[] = [
  ...variants("D20", MALFORMED, [
    ["no PCR", pcrs()],
    ["33 PCRs", pcrs(...registers(33))],
    ["pcrs an array", field("pcrs", [PCR(1), PCR(2), PCR(3)])],
    ["pcrs null", field("pcrs", null)],
    [
      "25 registers of a NitroTPM",
      fields((f) => void (f.set("nitrotpm_pcrs", new Map(registers(25))) && f.delete("pcrs"))),
    ],
  ]),
  ...variants("D21", MALFORMED, [
    ["PCR 32", pcrs(...genuine, [32, PCR(1)])],
    ["PCR 255", pcrs(...genuine, [255, PCR(1)])],
    ["PCR -1", pcrs(...genuine, [-1, PCR(1)])],
    ["PCR 2^64 - 1", pcrs(...genuine, [2n ** 64n - 1n, PCR(1)])],
    ['PCR "0"', pcrs(["0", PCR(1)], ...genuine.slice(1))],
    ["PCR 0.0", pcrs([new Raw(fromHex("f90000")), PCR(1)], ...genuine.slice(1))],
    ["PCR h'00'", pcrs([fromHex("00"), PCR(1)], ...genuine.slice(1))],
  ]),
  { id: "D21", why: "PCR 31", ...pcrs(...genuine, [31, PCR(1)]), expect: "accepted" },
  ...variants("D22", MALFORMED, [
    ["PCR 0 as 00 and as 1800", pcrs(...genuine, [longHead(0, 1), PCR(1)])],
    ["PCR 0 twice", pcrs(...genuine, [new Raw(fromHex("00")), PCR(1)])],
  ]),
  ...[0, 31, 32, 47, 49, 64, 65].map(
    (length): Row => ({
      id: "D23",
      why: `a PCR of ${length} bytes`,
      ...pcrs(...genuine, [5, new Uint8Array(length)]),
      expect: MALFORMED,
    }),
  ),
  { id: "D23", why: "a PCR as text", ...pcrs(...genuine, [5, "0".repeat(48)]), expect: MALFORMED },
  ...[17, 32].map(
    (count): Row => ({
      id: "D20",
      why: `${count} PCRs`,
      ...many(count),
      says: ({ pcrs }) => expect(pcrs.size).toBe(count),
      expect: "accepted",
    }),
  ),
  {
    id: "D20",
    why: "sparse PCRs",
    ...fields((f) => void (f.get("pcrs") as Map<Forged, Forged>).set(3, PCR(0)).set(8, PCR(0))),
    expect: "accepted",
  },
];

describeRows("registers", ROWS);
