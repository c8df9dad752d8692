import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Database } from "../../../mock/aws/state/database.ts";

interface KeyRow {
  readonly arn: string;
  readonly aliases: readonly string[];
}

type KeyIndex = "arn" | "alias";
const INDEXES = {
  indexes: { arn: (row: KeyRow) => [row.arn], alias: (row: KeyRow) => row.aliases },
} as const;

function newTable() {
  return Database.inMemory().table<KeyRow, KeyIndex>("kms.keys", INDEXES);
}

const operation = fc.oneof(
  fc.record({
    id: fc.constantFrom("a", "b", "c", "d"),
    row: fc.record({
      arn: fc.constantFrom("arn1", "arn2", "arn3"),
      aliases: fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 4 }),
    }),
  }),
  fc.record({ id: fc.constantFrom("a", "b", "c", "d"), row: fc.constant(undefined) }),
);

describe("a table", () => {
  test("is a map in order of arrival, and its indexes find what a search through all rows finds", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const table = newTable();
        const model = new Map<string, KeyRow>();
        for (const { id, row } of operations) {
          if (row) {
            table.set(id, row);
            model.set(id, row);
          } else expect(table.delete(id)).toBe(model.delete(id));
          expect([...table.entries()]).toEqual([...model]);
          expect([...table.ids()]).toEqual([...model.keys()]);
          expect([...table.values()]).toEqual([...model.values()]);
          expect(table.size).toBe(model.size);
          for (const each of ["a", "b", "c", "d"]) {
            expect(table.get(each)).toBe(model.get(each));
            expect(table.has(each)).toBe(model.has(each));
          }
          for (const [index, keys] of [
            ["arn", ["arn1", "arn2", "arn3"]],
            ["alias", ["x", "y", "z"]],
          ] as const) {
            for (const key of keys) {
              const wanted = [...model.values()].filter((value) => INDEXES.indexes[index](value).includes(key));
              expect(table.findAll(index, key)).toEqual(wanted);
              expect(table.find(index, key)).toBe(wanted[0]);
            }
          }
        }
      }),
    );
  });

  test("a row is frozen when it is set, so that it can not be changed behind the table's back", () => {
    const table = newTable();
    const row = { arn: "arn1", aliases: ["x"] };
    table.set("a", row);
    expect(() => Object.assign(row, { arn: "arn2" })).toThrow(TypeError);
    expect(table.get("a")?.arn).toBe("arn1");
  });

  test("a row is found no more by what it was found by, whatever became of it since", () => {
    const table = newTable();
    const aliases = ["x"];
    table.set("a", { arn: "arn1", aliases });
    aliases[0] = "y"; // the mistake that freezing the top level does not prevent
    table.delete("a");
    expect([table.findAll("alias", "x"), table.findAll("alias", "y")]).toEqual([[], []]);
  });

  test("an index function that throws leaves everything as it was", () => {
    const database = Database.inMemory();
    const table = database.table<KeyRow, "bad">("t", {
      indexes: {
        bad: ({ arn }) => {
          if (arn === "bad") throw new RangeError("bad");
          return [arn];
        },
      },
    });
    table.set("a", { arn: "good", aliases: [] });
    expect(() => table.set("a", { arn: "bad", aliases: [] })).toThrow(RangeError);
    expect(() => table.set("b", { arn: "bad", aliases: [] })).toThrow(RangeError);
    expect([...table.ids()]).toEqual(["a"]);
    expect(table.find("bad", "good")?.arn).toBe("good");
  });

  test("an index that was not declared is a mistake, not an empty answer", () => {
    const table = Database.inMemory().table<KeyRow, string>("t");
    expect(() => table.findAll("arn", "arn1")).toThrow(TypeError);
  });

  test("a table has one declaration, and a name that fits", () => {
    const database = Database.inMemory();
    database.table("kms.keys");
    expect(() => database.table("kms.keys")).toThrow(TypeError);
    for (const name of ["", "Kms", "a b", "1", "a".repeat(65)]) expect(() => database.table(name)).toThrow(TypeError);
  });

  test("looking up takes no longer in a large table", () => {
    const table = newTable();
    for (let i = 0; i < 50_000; i++) table.set(`id${i}`, { arn: `arn${i}`, aliases: [`x${i % 10_000}`] });
    const started = performance.now();
    let found = 0;
    for (let i = 0; i < 50_000; i++) {
      if (table.find("arn", `arn${i}`) === table.get(`id${i}`)) found += 1;
      if (i % 5 === 0) table.set(`id${i}`, { arn: `arn${i}`, aliases: [] });
    }
    expect(found).toBe(50_000);
    // A search through all rows would take 2.5 billion steps.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(table.findAll("alias", "x1")).toHaveLength(5);
    expect(table.findAll("alias", "x5")).toHaveLength(0);
  });
});
