/**
 * Directories, secrets and journals for the tests of the emulator's state.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import type { KeyWrapper, StateSecret } from "../../../mock/aws/state/data-key.ts";
import type { Journal } from "../../../mock/aws/state/journal.ts";
import { openSealedJournal } from "../../../mock/aws/state/sealed-journal.ts";
import { tokenOf } from "./token.ts";

const made: string[] = [];

afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A directory that is there no more after the test; the state in it has yet to be made. */
export function newDirectory(): string {
  const folder = mkdtempSync(join(tmpdir(), "state-"));
  made.push(folder);
  return join(folder, "data");
}

export const TOKEN: StateSecret = { kind: "token", wrapper: tokenOf(1) };

export function tokenSecret(wrapper: KeyWrapper): StateSecret {
  return { kind: "token", wrapper };
}

export const journalFile = (directory: string): string => join(directory, "journal");

/** Opens the state of a directory under the token, reads what it holds, and closes it. */
export async function batchesIn(directory: string): Promise<readonly string[]> {
  const journal = await openSealedJournal({ directory, secret: TOKEN });
  try {
    return journal.take().map((batch) => Buffer.from(batch).toString());
  } finally {
    await journal.close();
  }
}

/** A journal with these batches in a new directory, closed. */
export async function writtenJournal(...batches: readonly string[]): Promise<string> {
  const directory = newDirectory();
  const journal = await openSealedJournal({ directory, secret: TOKEN });
  for (const batch of batches) await journal.append(Buffer.from(batch));
  await journal.close();
  return directory;
}

export async function changeFile(path: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  await writeFile(path, change(Uint8Array.from(await readFile(path))));
}

/** The error's code; fails where there is no error. */
export async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    return (error as { readonly code?: string }).code ?? (error as Error).name;
  }
  throw new Error("nothing was refused");
}

/** A journal in memory whose disk answers when the test says so. */
export class HeldJournal implements Journal {
  readonly written: string[] = [];
  isOvergrown = false;
  isClosed = false;
  /** Refuses what is written next, as a full disk does. */
  isFull = false;
  #held: (() => void)[] | undefined;

  take(): readonly Uint8Array[] {
    return this.written.map((batch) => Buffer.from(batch));
  }

  /** From now on nothing is answered until `release`. */
  hold(): void {
    this.#held = [];
  }

  /** Answers what waits, and what comes. */
  release(): void {
    for (const answer of this.#held ?? []) answer();
    this.#held = undefined;
  }

  async append(batch: Uint8Array): Promise<void> {
    await this.#disk();
    this.written.push(Buffer.from(batch).toString());
  }

  async replace(batches: Iterable<Uint8Array>): Promise<void> {
    await this.#disk();
    this.written.splice(0, Number.POSITIVE_INFINITY, ...Array.from(batches, (batch) => Buffer.from(batch).toString()));
    this.isOvergrown = false;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  async #disk(): Promise<void> {
    const held = this.#held;
    if (held) await new Promise<void>((answer) => held.push(answer));
    if (this.isFull) throw Object.assign(new Error("write"), { code: "ENOSPC", syscall: "write" });
  }
}
