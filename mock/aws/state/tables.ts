/**
 * Tables of rows: an id, a plain row, and what else a row is found by.
 *
 * A row is never changed, only replaced: `set` freezes the row it is given (its top level; what hangs below must be
 * left alone as well), so a row that was read stays what it was. Rows come in the order in which their ids were first
 * set, before and after a restart. Every look-up takes the same time however many rows there are.
 *
 * @module
 */
import type { Entry } from "./record.ts";

/** The keys that a row is found by: none, one or more. A pure function of the row. */
export type RowKeys<Row> = (row: Row) => readonly string[];

export interface TableOptions<Row, Index extends string> {
  readonly indexes: Readonly<Record<Index, RowKeys<Row>>>;
}

/** Where a table's changes go before they are made; may refuse a row by throwing. */
export interface ChangeSink {
  readonly nextSequence: () => number;
  readonly record: (id: string, entry: Entry | undefined) => void;
}

export class Table<Row extends object, Index extends string = never> {
  readonly #rows: Rows;
  readonly #sink: ChangeSink;

  /** Tables are made by `Database.table`. */
  constructor(rows: Rows, sink: ChangeSink) {
    this.#rows = rows;
    this.#sink = sink;
  }

  get size(): number {
    return this.#rows.entries.size;
  }

  get(id: string): Readonly<Row> | undefined {
    return this.#rows.entries.get(id)?.row as Row | undefined;
  }

  has(id: string): boolean {
    return this.#rows.entries.has(id);
  }

  /**
   * Adds or replaces a row, and freezes it.
   *
   * @throws {TypeError} a row that is not plain data, where the state is durable; nothing is changed then
   */
  set(id: string, row: Row): void {
    const sequence = this.#rows.entries.get(id)?.sequence ?? this.#sink.nextSequence();
    const entry = Object.freeze({ sequence, row: Object.freeze(row) });
    const keys = this.#rows.keysOf(entry);
    this.#sink.record(id, entry);
    this.#rows.put(id, entry, keys);
  }

  /** Whether there was one. */
  delete(id: string): boolean {
    if (!this.#rows.entries.has(id)) return false;
    this.#sink.record(id, undefined);
    this.#rows.remove(id);
    return true;
  }

  ids(): IterableIterator<string> {
    return this.#rows.entries.keys();
  }

  *values(): IterableIterator<Readonly<Row>> {
    for (const { row } of this.#rows.entries.values()) yield row as Row;
  }

  *entries(): IterableIterator<[string, Readonly<Row>]> {
    for (const [id, { row }] of this.#rows.entries) yield [id, row as Row];
  }

  /** The row that is found by this key; the oldest, where there are more. */
  find(index: Index, key: string): Readonly<Row> | undefined {
    return this.findAll(index, key)[0];
  }

  /** All rows that are found by this key, oldest first. */
  findAll(index: Index, key: string): readonly Readonly<Row>[] {
    const found = [...this.#rows.matches(index, key)];
    return found.sort((a, b) => a.sequence - b.sequence).map(({ row }) => row as Row);
  }
}

/** What a table holds: of any row type, and open to the database alone. */
export class Rows {
  #entries: Map<string, Entry>;
  #indexes: ReadonlyMap<string, RowKeys<object>> = new Map();
  /** Index → key → id → entry. */
  readonly #found = new Map<string, Map<string, Map<string, Entry>>>();
  /** What each row was last found by, so that it is forgotten whatever an index function says later. */
  readonly #keys = new Map<string, IndexKeys>();

  constructor(entries: ReadonlyMap<string, Entry> = new Map()) {
    this.#entries = new Map(entries);
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  declareIndexes(indexes: Readonly<Record<string, RowKeys<object>>>): void {
    this.#indexes = new Map(Object.entries(indexes));
    this.replaceAll(this.#entries);
  }

  keysOf({ row }: Entry): IndexKeys {
    // Copied: an index may give an array of the row itself.
    return [...this.#indexes].map(([index, keys]) => [index, [...keys(row)]]);
  }

  put(id: string, entry: Entry, keys: IndexKeys): void {
    this.#forget(id);
    this.#entries.set(id, entry);
    if (keys.length === 0) return;
    this.#keys.set(id, keys);
    for (const [index, names] of keys) for (const name of names) this.#bucket(index, name).set(id, entry);
  }

  remove(id: string): void {
    this.#forget(id);
    this.#entries.delete(id);
  }

  replaceAll(entries: ReadonlyMap<string, Entry>): void {
    const copy = new Map(entries);
    this.#keys.clear();
    this.#found.clear();
    this.#entries = new Map();
    for (const [id, entry] of copy) this.put(id, entry, this.keysOf(entry));
  }

  matches(index: string, key: string): Iterable<Entry> {
    if (!this.#indexes.has(index)) throw new TypeError(`no index ${index} was declared`);
    return this.#found.get(index)?.get(key)?.values() ?? [];
  }

  #bucket(index: string, key: string): Map<string, Entry> {
    const buckets = this.#found.get(index) ?? new Map<string, Map<string, Entry>>();
    const bucket = buckets.get(key) ?? new Map<string, Entry>();
    this.#found.set(index, buckets.set(key, bucket));
    return bucket;
  }

  #forget(id: string): void {
    for (const [index, names] of this.#keys.get(id) ?? []) {
      const buckets = this.#found.get(index);
      for (const name of names) {
        const bucket = buckets?.get(name);
        bucket?.delete(id);
        if (bucket?.size === 0) buckets?.delete(name);
      }
    }
    this.#keys.delete(id);
  }
}

type IndexKeys = readonly (readonly [index: string, keys: readonly string[]])[];
