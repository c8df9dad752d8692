/**
 * What operation n does to a state, and what a state is that came to be by the operations 1 to n.
 *
 * @module
 */
import type { Database } from "../../../mock/aws/state/database.ts";
import type { Table } from "../../../mock/aws/state/tables.ts";

/** Few: so what counts is small, and the journal that holds it is replaced all the time. */
const SLOTS = 8;

interface SlotRow {
  readonly n: number;
  readonly bytes: Uint8Array;
}

export interface OperationTables {
  readonly left: Table<SlotRow>;
  readonly right: Table<SlotRow>;
  readonly last: Table<{ readonly n: number }>;
}

export function declare(database: Database): OperationTables {
  return { left: database.table("left"), right: database.table("right"), last: database.table("last") };
}

const isDeletion = (n: number): boolean => n % 7 === 0;
const bytesOf = (n: number): Uint8Array => new Uint8Array((n * 131) % 3000).fill(n);

export function applyOperation({ left, right, last }: OperationTables, n: number): void {
  const id = `slot${n % SLOTS}`;
  for (const table of [left, right]) {
    if (isDeletion(n)) table.delete(id);
    else table.set(id, { n, bytes: bytesOf(n) });
  }
  last.set("operation", { n });
}

/** What differs from the state after the operations 1 to `n`. */
export function deviations({ left, right }: OperationTables, n: number): string[] {
  return Array.from({ length: SLOTS }, (_, slot) => {
    const latest = n - ((((n - slot) % SLOTS) + SLOTS) % SLOTS);
    const wanted =
      latest < 1 || isDeletion(latest) ? "none" : `${latest} ${Buffer.from(bytesOf(latest)).toString("hex")}`;
    return [left, right].map((table) => {
      const row = table.get(`slot${slot}`);
      const found = row ? `${row.n} ${Buffer.from(row.bytes).toString("hex")}` : "none";
      return found === wanted ? "" : `slot ${slot}: ${found.slice(0, 20)} and not ${wanted.slice(0, 20)}`;
    });
  })
    .flat()
    .filter((text) => text !== "");
}
