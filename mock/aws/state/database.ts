/**
 * The emulator's state: named tables, in memory, and durable where a journal is given.
 *
 * Reads and writes are immediate; `flush` is what makes them last. It resolves when everything written before the call
 * is durable, and whoever answers a request waits for it, readers as well: so nothing is shown that could be lost. While
 * one transaction is on its way to the disk all others wait for the next and share it. What was written without an
 * `await` in between lands in one transaction, whole or not at all.
 *
 * When a transaction fails (a full disk) the memory is ahead of the disk, so the database stops for good: every later
 * `flush` rejects. In memory alone `flush` costs nothing and never fails.
 *
 * @module
 */
import { StateError } from "../../../shared/errors/state.ts";
import type { Journal } from "./journal.ts";
import { type Change, decodeBatch, type Entry, encodeBatch, encodeEntry } from "./record.ts";
import { type RowKeys, Rows, Table, type TableOptions } from "./tables.ts";

/** All rows at one moment. Holds the secrets that they hold; of use in this process only. */
export interface Snapshot {
  readonly tables: ReadonlyMap<string, ReadonlyMap<string, Entry>>;
}

const TABLE_NAME = /^[a-z][a-z0-9.-]{0,63}$/;
const NO_ROWS: ReadonlyMap<string, Entry> = new Map();
const DONE: Promise<void> = Promise.resolve();
/** Length of one batch's text when everything is written anew, so that other work gets its turn in between. */
const IMAGE_BATCH_LENGTH = 1 << 20;

export class Database implements AsyncDisposable {
  readonly #tables = new Map<string, Rows>();
  readonly #declared = new Set<string>();
  readonly #journal: Journal | undefined;
  /** By table and id: of several changes of a row between two transactions only the last is written. */
  readonly #pending = new Map<string, Change>();
  #nextSequence = 0;
  #transactions = 0;
  #running: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;
  #end: StateError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(journal: Journal | undefined) {
    this.#journal = journal;
    for (const batch of journal?.take() ?? []) this.#replay(batch);
    for (const rows of this.#tables.values()) {
      rows.replaceAll(new Map([...rows.entries].sort(([, a], [, b]) => a.sequence - b.sequence)));
    }
  }

  static inMemory(): Database {
    return new Database(undefined);
  }

  /**
   * The database that a journal holds; it closes the journal when it is closed.
   *
   * @throws {StateError} `ERR_STATE_MALFORMED`
   */
  static async open(journal: Journal): Promise<Database> {
    try {
      return new Database(journal);
    } catch (error) {
      await journal.close();
      throw error;
    }
  }

  /** How many transactions were made durable since it was opened. */
  get transactions(): number {
    return this.#transactions;
  }

  /**
   * A table, with what it held before if it is durable. Each is declared once.
   *
   * @example
   * const keys = database.table<KeyRow, "byAlias">("kms.keys", { indexes: { byAlias: (row) => row.aliases } });
   */
  table<Row extends object, Index extends string = never>(
    name: string,
    options?: TableOptions<Row, Index>,
  ): Table<Row, Index> {
    if (!TABLE_NAME.test(name)) throw new TypeError(`a table's name is like kms.keys, not ${name}`);
    if (this.#declared.has(name)) throw new TypeError(`table ${name} is declared twice`);
    this.#declared.add(name);
    const rows = this.#rowsOf(name);
    if (options) rows.declareIndexes(options.indexes as unknown as Readonly<Record<string, RowKeys<object>>>);
    return new Table(rows, {
      nextSequence: () => this.#nextSequence++,
      record: (id, entry) => this.#record(this.#change(name, id, entry)),
    });
  }

  /**
   * Resolves when all that was written before is durable; at once where it is already.
   *
   * @throws {StateError} `ERR_STATE_FAILED`, `ERR_STATE_CLOSED`
   */
  flush(): Promise<void> {
    if (this.#end) return Promise.reject(this.#end);
    if (this.#pending.size === 0) return this.#running ?? DONE;
    this.#waiting ??= this.#transact();
    return this.#waiting;
  }

  /** Everything as it is now, in time that grows with the number of rows, not with their size. */
  snapshot(): Snapshot {
    return { tables: new Map(Array.from(this.#tables, ([name, rows]) => [name, new Map(rows.entries)])) };
  }

  /** Makes everything as it was; where the state is durable the difference is written like any change. */
  restore({ tables }: Snapshot): void {
    const names = new Set([...this.#tables.keys(), ...tables.keys()]);
    const targets = Array.from(names, (name) => [name, tables.get(name) ?? NO_ROWS] as const);
    // All are made before the first is recorded: a row of another database may not be plain data.
    const changes = targets.flatMap(([name, target]) => this.#difference(name, target));
    for (const change of changes) this.#record(change);
    for (const [name, target] of targets) {
      this.#rowsOf(name).replaceAll(target);
      for (const { sequence } of target.values()) this.#nextSequence = Math.max(this.#nextSequence, sequence + 1);
    }
  }

  /** Deletes every row of every table. */
  reset(): void {
    this.restore({ tables: new Map() });
  }

  /**
   * Makes durable what was written, then closes the journal; after a failure it closes without a further try.
   *
   * @throws {StateError} `ERR_STATE_FAILED` what was written last is not durable
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const flushed = this.flush();
    this.#end ??= new StateError("ERR_STATE_CLOSED", {});
    try {
      await flushed;
    } finally {
      await this.#journal?.close();
    }
  }

  #rowsOf(name: string): Rows {
    const rows = this.#tables.get(name) ?? new Rows();
    this.#tables.set(name, rows);
    return rows;
  }

  #replay(batch: Uint8Array): void {
    for (const { table, id, entry } of decodeBatch(batch)) {
      const rows = this.#rowsOf(table);
      if (!entry) {
        rows.remove(id);
        continue;
      }
      rows.put(id, entry, []);
      this.#nextSequence = Math.max(this.#nextSequence, entry.sequence + 1);
    }
  }

  #change(table: string, id: string, entry: Entry | undefined): Change {
    // Written out at once: a mistake in a row is found where it is made, and later changes of the object do not count.
    return { table, id, text: this.#journal && entry ? encodeEntry(entry) : undefined };
  }

  #record(change: Change): void {
    if (this.#journal) this.#pending.set(`${change.table} ${change.id}`, change);
  }

  #difference(table: string, target: ReadonlyMap<string, Entry>): readonly Change[] {
    const { entries } = this.#rowsOf(table);
    const gone = [...entries.keys()].filter((id) => !target.has(id)).map((id) => this.#change(table, id, undefined));
    const other = [...target].filter(([id, entry]) => entries.get(id) !== entry);
    return [...gone, ...other.map(([id, entry]) => this.#change(table, id, entry))];
  }

  #transact(): Promise<void> {
    // Its turn comes after the one that is on its way, and a microtask later at the earliest: who flushes at the same
    // moment shares it. Nothing comes after one that failed.
    const transaction = (this.#running ?? DONE).then(async () => {
      this.#waiting = undefined;
      this.#running = transaction;
      try {
        await this.#write();
        this.#transactions += 1;
      } catch (cause) {
        throw this.#fail(cause);
      } finally {
        this.#running = undefined;
      }
    });
    return transaction;
  }

  async #write(): Promise<void> {
    const changes = [...this.#pending.values()];
    this.#pending.clear();
    if (this.#journal?.isOvergrown) await this.#journal.replace(encodeImage(this.snapshot()));
    else await this.#journal?.append(encodeBatch(changes));
  }

  #fail(cause: unknown): StateError {
    const reason = (cause as NodeJS.ErrnoException).code ?? "the journal failed";
    const failure = new StateError("ERR_STATE_FAILED", { reason }, { cause });
    this.#end = failure;
    return failure;
  }
}

/** All rows of a snapshot as batches, each made when it is asked for. */
function* encodeImage({ tables }: Snapshot): Iterable<Uint8Array> {
  let changes: Change[] = [];
  let length = 0;
  for (const [table, entries] of tables) {
    for (const [id, entry] of entries) {
      const text = encodeEntry(entry);
      changes.push({ table, id, text });
      length += text.length;
      if (length < IMAGE_BATCH_LENGTH) continue;
      yield encodeBatch(changes);
      changes = [];
      length = 0;
    }
  }
  yield encodeBatch(changes);
}
