/**
 * Each operation in each key state, as the key state table of the KMS Developer Guide has it: every cell is asked.
 *
 * A cell is `OK`, `X` or `?` and footnotes. A footnote is an error, or says for which keys there is one: where it does,
 * both kinds of key are asked.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { vectorsPath } from "../../vectors.ts";
import { type BareKms, openBareKms, outcome } from "./bed.ts";
import { inputFor, type Kind, makeKey, putIn, STATES, type State } from "./state-cells.ts";

const PATH = vectorsPath("aws/kms-key-state-matrix.json");
const MATRIX: Readonly<Record<string, readonly string[]>> = existsSync(PATH)
  ? (JSON.parse(readFileSync(PATH, "utf8")) as Record<string, string[]>)
  : {};

const INVALID = "KMSInvalidStateException";
const UNSUPPORTED = "UnsupportedOperationException";
/** The footnotes that are errors. 2 and 3 are one cell: AWS names both; the guide's own text has the newer one. */
const ERRORS: Readonly<Record<string, string>> = {
  ...{ 1: "DisabledException", 3: INVALID, 4: INVALID, 5: INVALID, 8: INVALID, 10: INVALID },
  ...{ 11: INVALID, 14: INVALID, 15: INVALID, 6: UNSUPPORTED, 7: UNSUPPORTED, 9: UNSUPPORTED },
};
/** 7: no imported material and no store; 9: imported material only. */
const OTHER_KIND: Readonly<Record<string, Kind>> = { 7: "imported", 9: "plain" };

interface Cell {
  readonly operation: string;
  readonly state: State;
  readonly cell: string;
  readonly kind: Kind;
  readonly wanted: string;
}

/** Where this emulator differs from the table, or the table says "not applicable", and why. */
const EXCEPTIONS: readonly { readonly where: RegExp; readonly wanted: string; readonly why: string }[] = [
  {
    where: /^GetKeyRotationStatus (PendingImport|\w+ imported)/,
    wanted: "ok",
    why: "since imported keys rotate on demand, their status is told; answers recorded from AWS do so",
  },
  {
    where: /^(GenerateMac|VerifyMac|Sign|Verify|GetPublicKey) PendingImport/,
    wanted: INVALID,
    why: "the table is older than imported material of these kinds",
  },
  {
    where: /^(GenerateMac|VerifyMac|Sign|Verify) Unavailable/,
    wanted: "InvalidKeyUsageException",
    why: "stores hold symmetric keys only, and usage is asked before state",
  },
  {
    where: /^(GetPublicKey|ReplicateKey|UpdatePrimaryRegion|DeleteImportedKeyMaterial) Unavailable/,
    wanted: UNSUPPORTED,
    why: "keys in stores are symmetric, of one Region, and not imported",
  },
];

function cellsOf(operation: string, row: readonly string[]): readonly Cell[] {
  return row.flatMap((cell, column) => {
    const state = STATES[column];
    if (!state) throw new Error("the table has another form");
    const notes = [...cell.matchAll(/\[(\d+)\]/g)].map(([, note = ""]) => note);
    const kind = kindFor(operation, state, notes);
    const error = notes.filter((note) => !(note in OTHER_KIND) || notes.length === 1).map((note) => ERRORS[note]);
    const isRefused = cell.startsWith("X") || (cell.startsWith("?") && notes.includes("10"));
    const wanted = isRefused ? (error.find((name) => name !== undefined) ?? "?") : "ok";
    const cells = [{ operation, state, cell, kind, wanted }];
    const [note] = notes.filter((name) => name in OTHER_KIND);
    const other = note === undefined ? undefined : OTHER_KIND[note];
    const isOpen = other !== undefined && kind !== other && kind !== "stored" && state !== "PendingImport";
    return isOpen ? [...cells, { operation, state, cell, kind: other, wanted: UNSUPPORTED }] : cells;
  });
}

function kindFor(operation: string, state: State, notes: readonly string[]): Kind {
  if (state === "PendingImport") return "imported";
  if (state === "Unavailable") return "stored";
  return notes.includes("9") || /Import/.test(operation) ? "imported" : "plain";
}

const cells = Object.entries(MATRIX)
  .flatMap(([operation, row]) => cellsOf(operation, row))
  .map((cell) => {
    const name = `${cell.operation} ${cell.state} ${cell.kind}`;
    const exception = EXCEPTIONS.find(({ where }) => where.test(name));
    const wanted = exception?.wanted ?? cell.wanted;
    return { ...cell, name, wanted, why: exception ? `, since ${exception.why}` : "" };
  });

describe.skipIf(cells.length === 0)("the key state table (skipped without CLOISTER_VECTORS)", () => {
  let bed: BareKms;
  beforeAll(() => {
    bed = openBareKms({ replicationMs: 1, primaryRegionUpdateMs: 1 });
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  test("every cell is asked, and every exception is one", () => {
    expect(new Set(cells.map(({ operation, state }) => `${operation} ${state}`)).size).toBe(40 * 7);
    for (const { where } of EXCEPTIONS) expect(cells.filter(({ name }) => where.test(name))).not.toEqual([]);
    expect(cells.filter(({ cell, why }) => cell === "N/A" && why === "")).toEqual([]);
  });

  test.each(cells)("$name: $cell → $wanted$why", async ({ operation, state, kind, wanted }) => {
    const key = await makeKey(bed, operation, kind);
    const input = await inputFor(bed, operation, { key, state });
    putIn(bed, key.arn, state);
    const found = await outcome(bed.call(bed.caller("admin"), operation, input));
    const isDryRun = input["DryRun"] === true;
    expect(isDryRun && found === "DryRunOperationException" ? "ok" : found).toBe(wanted);
  });
});
