/**
 * Reads tables as they stream in: records of CSV (RFC 4180) and lines of NDJSON, one at a time.
 *
 * @module
 */
import { quote } from "../joint-analysis/csv.ts";

const RECORD_MAX = 1_048_576;

/** CSV breaks lines within quotes; NDJSON never does. */
export type Format = "csv" | "ndjson";

/** @throws {RangeError} a record of more than 1 MiB. @throws {TypeError} not UTF-8 */
export async function* readRecords(body: ReadableStream<Uint8Array>, format: Format): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of body) {
    const pieces = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = pieces.pop() ?? "";
    let record = "";
    for (const piece of pieces) {
      record += piece;
      if (format === "csv" && isOpen(record)) record += "\n";
      else {
        yield record.replace(/\r$/, "");
        record = "";
      }
    }
    rest = record + rest;
    if (rest.length > RECORD_MAX) throw new RangeError("a record is longer than 1 MiB");
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

/** Whether a quote is not closed yet: within fields they are doubled. */
function isOpen(record: string): boolean {
  let isEven = true;
  for (let at = record.indexOf('"'); at >= 0; at = record.indexOf('"', at + 1)) isEven = !isEven;
  return !isEven;
}

/** The fields of a record of CSV. @throws {SyntaxError} its quoting is broken */
export function fieldsOf(record: string): string[] {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = field.exec(record);
    if (!match) throw new SyntaxError("a record whose quoting is broken");
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") return fields;
  }
}

export function recordOf(fields: readonly string[]): string {
  return fields.map(quote).join(",");
}
