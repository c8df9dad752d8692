/**
 * The two data sets of the joint analysis, as their owners seal them.
 *
 * @module
 */
import { DataError } from "../../shared/errors/index.ts";
import { type CsvRow, readCsv } from "./csv.ts";

/** A carrier's departures: what it flew, from where, how late. */
export interface Flight {
  /** The state of the origin airport, by name. */
  readonly state: string;
  readonly delayMinutes: number;
}

/** An insurer's claims: reported wildlife strikes and what they cost. */
export interface Strike {
  readonly state: string;
  readonly isDamaging: boolean;
  readonly costUsd: number;
}

export const FLIGHTS_HEADER = ["date", "origin", "state", "destination", "distance_miles", "delay_minutes"] as const;
export const STRIKES_HEADER = ["date", "airport", "state", "operator", "species", "damage", "cost_usd"] as const;

interface Column {
  readonly dataset: string;
  readonly header: readonly string[];
  readonly row: CsvRow;
}

function text({ dataset, header, row }: Column, name: string): string {
  const value = row.fields[header.indexOf(name)] ?? "";
  if (value === "") throw new DataError("ERR_DATA_ROW", { dataset, line: row.line, column: name, expected: "a value" });
  return value;
}

function integer(column: Column, name: string): number {
  const value = text(column, name);
  if (!/^-?[0-9]{1,12}$/.test(value)) {
    const { dataset, row } = column;
    throw new DataError("ERR_DATA_ROW", { dataset, line: row.line, column: name, expected: "an integer" });
  }
  return Number(value);
}

/** @throws {DataError} */
export function readFlights(bytes: Uint8Array): Flight[] {
  const table = { dataset: "flights", header: FLIGHTS_HEADER };
  return Array.from(readCsv(bytes, table), (row) => {
    const column = { ...table, row };
    return { state: text(column, "state"), delayMinutes: integer(column, "delay_minutes") };
  });
}

/** @throws {DataError} */
export function readStrikes(bytes: Uint8Array): Strike[] {
  const table = { dataset: "strikes", header: STRIKES_HEADER };
  return Array.from(readCsv(bytes, table), (row) => {
    const column = { ...table, row };
    const isDamaging = text(column, "damage") !== "None";
    return { state: text(column, "state"), isDamaging, costUsd: integer(column, "cost_usd") };
  });
}
