import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Database } from "../../../mock/aws/state/database.ts";
import { openSealedJournal } from "../../../mock/aws/state/sealed-journal.ts";
import { codeOf, HeldJournal, newDirectory, TOKEN } from "./testbed.ts";

interface CountRow {
  readonly n: number;
}

const BY_PARITY = { indexes: { parity: ({ n }: CountRow) => [n % 2 === 0 ? "even" : "odd"] } } as const;

async function opened(journal: HeldJournal = new HeldJournal()) {
  const database = await Database.open(journal);
  return { journal, database, table: database.table<CountRow>("counts") };
}

/** Lets everything run that does not wait for the disk. */
const settle = (): Promise<void> => new Promise((done) => setImmediate(done));

describe("durability", () => {
  test("a restart gives what was flushed, in the same order, with the same indexes", async () => {
    const id = fc.constantFrom("a", "b", "c", "d", "e");
    const operation = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("set" as const), id, n: fc.nat(9) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("delete" as const), id }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("flush" as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("restart", "crash", "overgrown") }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60, size: "max" }), async (operations) => {
        let journal = new HeldJournal();
        const model = new Map<string, CountRow>();
        let durable = new Map<string, CountRow>();
        const start = async () => {
          const database = await Database.open(journal);
          return { database, table: database.table<CountRow, "parity">("counts", BY_PARITY) };
        };
        let { database, table } = await start();
        for (const step of operations) {
          if (step.kind === "set" && "n" in step) {
            table.set(step.id, { n: step.n });
            model.set(step.id, { n: step.n });
          } else if (step.kind === "delete" && "id" in step) {
            table.delete(step.id);
            model.delete(step.id);
          } else if (step.kind === "flush") {
            await database.flush();
            durable = new Map(model);
          } else if (step.kind === "overgrown") journal.isOvergrown = true;
          else {
            if (step.kind === "restart") {
              await database.close();
              durable = new Map(model);
            }
            model.clear();
            for (const [key, row] of durable) model.set(key, row);
            const written = journal.written;
            journal = new HeldJournal();
            journal.written.push(...written);
            ({ database, table } = await start());
          }
          expect([...table.entries()]).toEqual([...model]);
          const odd = [...model.values()].filter(({ n }) => n % 2 === 1);
          expect(table.findAll("parity", "odd")).toEqual(odd);
        }
      }),
      { numRuns: 200 },
    );
  });

  test("rows of a table that nobody declares are kept, also when the journal is begun anew", async () => {
    const { journal, database, table } = await opened();
    table.set("a", { n: 1 });
    await database.flush();
    const second = await Database.open(journal);
    second.table<CountRow>("others").set("b", { n: 2 });
    journal.isOvergrown = true;
    await second.flush();
    const third = await opened(journal);
    expect([...third.table.entries()]).toEqual([["a", { n: 1 }]]);
    expect([...third.database.table("others").entries()]).toEqual([["b", { n: 2 }]]);
  });

  test("a row that is not plain data is refused where it is set, and nothing of it remains", async () => {
    const { journal, database, table } = await opened();
    table.set("a", { n: 1 });
    expect(() => table.set("a", { n: Number.NaN })).toThrow(TypeError);
    expect(() => table.set("b", { n: 1n as unknown as number })).toThrow(TypeError);
    await database.flush();
    expect([...table.entries()]).toEqual([["a", { n: 1 }]]);
    expect(journal.written).toEqual(['[["counts","a",[0,{"n":1}]]]']);
  });

  test("what is changed in a row after it was set is not written", async () => {
    const journal = new HeldJournal();
    const database = await Database.open(journal);
    const list = [1];
    database.table<{ readonly list: readonly number[] }>("lists").set("a", { list });
    list.push(2);
    await database.flush();
    expect(JSON.parse(journal.written[0] ?? "")).toEqual([["lists", "a", [0, { list: [1] }]]]);
  });

  test("a journal that holds something else is refused, and closed", async () => {
    const journal = new HeldJournal();
    journal.written.push("[1]");
    expect(await codeOf(Database.open(journal))).toBe("ERR_STATE_MALFORMED");
    expect(journal.isClosed).toBe(true);
  });
});

describe("flush", () => {
  test("a hundred at the same moment share one transaction", async () => {
    const { journal, database, table } = await opened();
    const flushes = Array.from({ length: 100 }, (_, n) => {
      table.set(`id${n}`, { n });
      return database.flush();
    });
    await Promise.all(flushes);
    expect([database.transactions, journal.written.length]).toEqual([1, 1]);
  });

  test("who comes while one is on its way shares the next, however many", async () => {
    const { journal, database, table } = await opened();
    journal.hold();
    table.set("first", { n: 0 });
    const order: string[] = [];
    const first = database.flush().then(() => order.push("first"));
    await settle();
    const rest = Array.from({ length: 50 }, async (_, n) => {
      await settle();
      table.set(`id${n}`, { n });
      await database.flush();
      order.push("rest");
    });
    await settle();
    await settle();
    expect(order).toEqual([]);
    journal.release();
    await Promise.all([first, ...rest]);
    expect(order[0]).toBe("first");
    expect(database.transactions).toBe(2);
    expect(journal.written[1]?.match(/counts/g)).toHaveLength(50);
  });

  test("with nothing to write there is no transaction", async () => {
    const { journal, database } = await opened();
    journal.hold();
    await database.flush();
    expect(database.transactions).toBe(0);
  });

  test("a reader waits for what is on its way: nothing is shown that could be lost", async () => {
    const { journal, database, table } = await opened();
    journal.hold();
    table.set("a", { n: 1 });
    const writer = database.flush();
    await settle();
    let isShown = false;
    const reader = database.flush().then(() => {
      isShown = true;
    });
    await settle();
    expect([table.get("a"), isShown]).toEqual([{ n: 1 }, false]);
    journal.release();
    await Promise.all([writer, reader]);
    expect([isShown, database.transactions]).toEqual([true, 1]);
  });

  test("what is written without a pause is written together, and a row once", async () => {
    const { journal, database, table } = await opened();
    table.set("a", { n: 1 });
    table.set("b", { n: 1 });
    table.set("a", { n: 2 });
    table.set("c", { n: 1 });
    table.delete("c");
    await database.flush();
    expect(JSON.parse(journal.written[0] ?? "")).toEqual([
      ["counts", "a", [0, { n: 2 }]],
      ["counts", "b", [1, { n: 1 }]],
      ["counts", "c", null],
    ]);
  });

  test("in memory it is free, and any row is taken", async () => {
    const database = Database.inMemory();
    database.table<{ readonly map: Map<string, string> }>("t").set("a", { map: new Map() });
    const flushed = database.flush();
    expect(database.flush()).toBe(flushed);
    await flushed;
    expect(database.transactions).toBe(0);
  });
});

describe("when a transaction fails", () => {
  test("it, all that wait, and all that come later are refused, even once there is room again", async () => {
    const { journal, database, table } = await opened();
    journal.hold();
    journal.isFull = true;
    table.set("a", { n: 1 });
    const first = codeOf(database.flush());
    await settle();
    const reader = codeOf(database.flush());
    table.set("b", { n: 1 });
    const waiting = codeOf(database.flush());
    journal.release();
    expect(await Promise.all([first, reader, waiting])).toEqual(Array(3).fill("ERR_STATE_FAILED"));
    journal.isFull = false;
    expect(await codeOf(database.flush())).toBe("ERR_STATE_FAILED");
    table.set("c", { n: 1 });
    await expect(database.flush()).rejects.toMatchObject({ code: "ERR_STATE_FAILED", details: { reason: "ENOSPC" } });
    expect(journal.written).toEqual([]);
  });

  test("the same where the journal was to be begun anew", async () => {
    const { journal, database, table } = await opened();
    Object.assign(journal, { isFull: true, isOvergrown: true });
    table.set("a", { n: 1 });
    expect(await codeOf(database.flush())).toBe("ERR_STATE_FAILED");
    expect(await codeOf(database.close())).toBe("ERR_STATE_FAILED");
    expect(journal.isClosed).toBe(true);
  });
});

describe("close", () => {
  test("makes durable what was written, and then nothing more", async () => {
    const { journal, database, table } = await opened();
    table.set("a", { n: 1 });
    await Promise.all([database.close(), database.close()]);
    await database.close();
    expect([journal.written.length, journal.isClosed]).toEqual([1, true]);
    expect(await codeOf(database.flush())).toBe("ERR_STATE_CLOSED");
  });

  test("`await using` closes", async () => {
    const journal = new HeldJournal();
    {
      await using database = await Database.open(journal);
      database.table<CountRow>("counts").set("a", { n: 1 });
    }
    expect([journal.written.length, journal.isClosed]).toEqual([1, true]);
  });
});

describe("snapshot, restore and reset", () => {
  test.each(["in memory", "durable"])("%s: a restored database is what it was, indexes included", async (mode) => {
    const directory = newDirectory();
    const start = async () => {
      const database =
        mode === "durable"
          ? await Database.open(await openSealedJournal({ directory, secret: TOKEN }))
          : Database.inMemory();
      return { database, table: database.table<CountRow, "parity">("counts", BY_PARITY) };
    };
    let { database, table } = await start();
    for (const [id, n] of [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ] as const)
      table.set(id, { n });
    await database.flush();
    const snapshot = database.snapshot();
    table.delete("a");
    table.set("b", { n: 5 });
    table.set("d", { n: 7 });
    table.set("a", { n: 9 });
    database.table<CountRow>("later").set("x", { n: 0 });
    await database.flush();
    database.restore(snapshot);
    await database.flush();
    if (mode === "durable") {
      await database.close();
      ({ database, table } = await start());
    }
    const wanted = [
      ["a", { n: 1 }],
      ["b", { n: 2 }],
      ["c", { n: 3 }],
    ];
    expect([...table.entries()]).toEqual(wanted);
    expect(table.findAll("parity", "odd")).toEqual([{ n: 1 }, { n: 3 }]);
    expect(database.snapshot().tables.get("later")?.size ?? 0).toBe(0);
    table.set("e", { n: 0 });
    expect([...table.ids()]).toEqual(["a", "b", "c", "e"]);
    await database.close();
  });

  test("a snapshot restores more than once, and into another database", async () => {
    const { database, table } = await opened();
    table.set("a", { n: 1 });
    const snapshot = database.snapshot();
    for (let i = 0; i < 2; i++) {
      table.set("a", { n: 2 });
      database.restore(snapshot);
      expect(table.get("a")).toEqual({ n: 1 });
    }
    const other = await opened();
    other.database.restore(snapshot);
    other.table.set("b", { n: 2 });
    await other.database.close();
    expect([...(await opened(other.journal)).table.ids()]).toEqual(["a", "b"]);
  });

  test("restoring writes the difference only", async () => {
    const { journal, database, table } = await opened();
    for (let n = 0; n < 10; n++) table.set(`id${n}`, { n });
    await database.flush();
    const snapshot = database.snapshot();
    table.set("id3", { n: 33 });
    await database.flush();
    database.restore(snapshot);
    await database.flush();
    expect(JSON.parse(journal.written.at(-1) ?? "")).toEqual([["counts", "id3", [3, { n: 3 }]]]);
  });

  test("a snapshot whose rows are not plain data changes nothing where the state is durable", async () => {
    const foreign = Database.inMemory();
    foreign.table<{ readonly n: unknown }>("counts").set("a", { n: 1 });
    foreign.table<{ readonly n: unknown }>("others").set("b", { n: new Map() });
    const { journal, database, table } = await opened();
    table.set("z", { n: 26 });
    expect(() => database.restore(foreign.snapshot())).toThrow(TypeError);
    await database.flush();
    expect([...table.ids()]).toEqual(["z"]);
    expect(journal.written).toEqual(['[["counts","z",[0,{"n":26}]]]']);
  });

  test("reset leaves nothing, and says so to the disk", async () => {
    const { journal, database, table } = await opened();
    table.set("a", { n: 1 });
    await database.flush();
    database.reset();
    expect(table.size).toBe(0);
    await database.close();
    expect((await opened(journal)).table.size).toBe(0);
  });
});
