/**
 * The seam between a database and what keeps it: a list of batches that survives the process.
 *
 * A batch is opaque here, and there whole or not at all. Calls come one after another: the database waits for each, and
 * after one that was rejected it only closes.
 *
 * @module
 */

export interface Journal {
  /** The batches that it held when it was opened, oldest first; given away once. */
  take(): readonly Uint8Array[];
  /** Makes one more durable: once this resolves, it survives a crash of the process and of the machine. */
  append(batch: Uint8Array): Promise<void>;
  /** Whether it has grown so much that it should be replaced by what still counts. */
  readonly isOvergrown: boolean;
  /** Begins anew with these batches; until this resolves the old ones count. */
  replace(batches: Iterable<Uint8Array>): Promise<void>;
  close(): Promise<void>;
}
