/**
 * Where an emulated AWS keeps its state: in memory, or sealed in a directory.
 *
 * @module
 */
import type { StateSecret } from "./state/data-key.ts";
import { Database } from "./state/database.ts";
import { openSealedJournal } from "./state/sealed-journal.ts";

export interface StateOption {
  /** Of this process alone while it runs; made if it is not there. */
  readonly directory: string;
  /** What opens the state; for a new one, what will. */
  readonly secret: StateSecret;
}

/** @throws {StateError} */
export async function openDatabase(state: StateOption | undefined): Promise<Database> {
  return state ? Database.open(await openSealedJournal(state)) : Database.inMemory();
}
