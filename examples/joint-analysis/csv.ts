/**
 * Reads a CSV table whose header is known, strictly: RFC 4180 quoting, every row as wide as the header.
 *
 * A broken row is refused by line and column; the value itself is never quoted in the error.
 *
 * @module
 */
import { DataError } from "../../shared/errors/index.ts";

export interface CsvOptions {
  /** Name of the data set, for errors. */
  readonly dataset: string;
  readonly header: readonly string[];
}

/** One row: its line number in the file, 1-based, and its fields in the header's order. */
export interface CsvRow {
  readonly line: number;
  readonly fields: readonly string[];
}

/** @throws {DataError} `ERR_DATA_HEADER`, `ERR_DATA_ROW` */
export function* readCsv(bytes: Uint8Array, { dataset, header }: CsvOptions): Generator<CsvRow> {
  const lines = decode(bytes, dataset).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  if (lines[0] !== header.map(quote).join(",")) throw new DataError("ERR_DATA_HEADER", { dataset, expected: header });
  for (const [index, text] of lines.entries()) {
    if (index === 0) continue;
    const line = index + 1;
    const fields = splitLine(text);
    if (fields?.length !== header.length) {
      const expected = `${header.length} fields`;
      throw new DataError("ERR_DATA_ROW", { dataset, line, column: "(row)", expected });
    }
    yield { line, fields };
  }
}

function decode(bytes: Uint8Array, dataset: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError("ERR_DATA_ROW", { dataset, line: 0, column: "(file)", expected: "UTF-8" }, { cause });
  }
}

/** The fields of a line, or `undefined` where the quoting is broken. */
function splitLine(text: string): string[] | undefined {
  if (!text.includes('"')) return text.split(",");
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = field.exec(text);
    if (!match) return undefined;
    fields.push(match[1] === undefined ? (match[2] ?? "") : match[1].replaceAll('""', '"'));
    if (match[3] === "") return fields;
  }
}

/** A field as it is written: quoted where it must be. */
export function quote(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
