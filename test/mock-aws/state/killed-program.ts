/**
 * A program that writes to a state and says on stdout what was acknowledged, until it is killed or its disk is full.
 *
 * Operation n changes slot n mod 8 in two tables, and says in a third that it was the last: so what must be found
 * after operation n is known from n alone. Eight writers share the transactions.
 *
 * Usage: node killed-program.mjs DIRECTORY OVERGROWN_BYTES
 *
 * @module
 */
import { writeSync } from "node:fs";
import { Database } from "../../../mock/aws/state/database.ts";
import { openSealedJournal } from "../../../mock/aws/state/sealed-journal.ts";
import { applyOperation, declare } from "./operations.ts";
import { tokenOf } from "./token.ts";

const WRITERS = 8;

const say = (line: string): unknown => writeSync(1, `${line}\n`);

async function write(directory: string, overgrownBytes: number): Promise<void> {
  say("started");
  const secret = { kind: "token", wrapper: tokenOf(1) } as const;
  const database = await Database.open(await openSealedJournal({ directory, secret, overgrownBytes }));
  const tables = declare(database);
  let n = tables.last.get("operation")?.n ?? 0;
  say("opened");
  const writer = async (): Promise<never> => {
    for (;;) {
      n += 1;
      const own = n;
      applyOperation(tables, own);
      await database.flush();
      say(String(own));
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
}

const [, , directory = "", overgrownBytes = ""] = process.argv;
try {
  await write(directory, Number(overgrownBytes));
} catch (error) {
  const { code, details } = error as { readonly code?: string; readonly details?: { readonly reason?: string } };
  say(`failed ${code} ${details?.reason}`);
  process.exitCode = 7;
}
