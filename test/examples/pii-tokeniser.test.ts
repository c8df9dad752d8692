/** The tokeniser, by the command of its README, and what it is made of. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldsOf, readRecords, recordOf } from "../../examples/pii-tokeniser/records.ts";
import { Vault } from "../../examples/pii-tokeniser/vault.ts";
import { linesOf, tell } from "./readme.ts";

describe("the tokeniser", () => {
  test("runs from its folder by its README's command, and all of its story holds", async () => {
    const { code, held, steps, text } = await tell("pii-tokeniser");
    expect({ code, held }, text).toEqual({ code: 0, held: steps });
    expect(steps).toBe(12);
  }, 120_000);

  test("is under 150 lines, with two parts of less than 60", () => {
    expect(linesOf("pii-tokeniser")).toBeLessThan(150);
    for (const part of ["records.ts", "vault.ts"]) expect(linesOf("pii-tokeniser", part)).toBeLessThan(60);
  });
});

async function recordsOf(pieces: readonly Uint8Array[], format: "csv" | "ndjson"): Promise<string[]> {
  const records: string[] = [];
  for await (const record of readRecords(ReadableStream.from(pieces), format)) records.push(record);
  return records;
}

describe("records of a table that streams in", () => {
  test("are the same wherever the stream is cut, and back again", async () => {
    const field = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "é", "€", " ") });
    const table = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(table, fc.nat(), async (rows, cut) => {
        const bytes = Buffer.from(rows.map((row) => `${recordOf(row)}\n`).join(""));
        const at = cut % (bytes.length + 1);
        const records = await recordsOf([bytes.subarray(0, at), bytes.subarray(at)], "csv");
        expect(records.map(fieldsOf)).toEqual(rows);
      }),
    );
  });

  test("a quote breaks no line of NDJSON; a last line needs no end; CRLF is one", async () => {
    expect(await recordsOf([Buffer.from('{"a":"\\""}\r\n{"b":1}')], "ndjson")).toEqual(['{"a":"\\""}', '{"b":1}']);
  });

  test.each(['a"b', '"a"b', '"a'])("%s is refused", (record) => {
    expect(() => fieldsOf(record)).toThrow(SyntaxError);
  });

  test("what is not UTF-8, and a record without an end, are refused", async () => {
    await expect(recordsOf([Uint8Array.of(0x61, 0xff, 0x0a)], "csv")).rejects.toThrow(TypeError);
    await expect(recordsOf([Buffer.alloc(1_048_577, "a")], "csv")).rejects.toThrow(RangeError);
  });
});

describe("the vault", () => {
  const vault = new Vault(new Uint8Array(32).fill(7));

  test("a token is the same for the same value in the same column under the same key, and only then", () => {
    const token = vault.token("name", "Ada");
    expect(new Vault(new Uint8Array(32).fill(7)).token("name", "Ada")).toBe(token);
    expect(token).toHaveLength(22);
    const others = [vault.token("name", "Bea"), vault.token("place", "Ada"), vault.token("nam", "eAda")];
    expect(new Set([token, ...others, new Vault(new Uint8Array(32)).token("name", "Ada")]).size).toBe(5);
  });

  test("a sealed value is another each time, and opens in its column only", () => {
    const sealed = vault.seal("cost", "12 €");
    expect(vault.seal("cost", "12 €")).not.toBe(sealed);
    expect(vault.open("cost", sealed)).toBe("12 €");
    expect(vault.open("name", sealed)).toBeUndefined();
    expect(new Vault(new Uint8Array(32)).open("cost", sealed)).toBeUndefined();
    expect(vault.open("cost", sealed.slice(0, 20))).toBeUndefined();
    for (let at = 0; at < sealed.length; at++) {
      const bytes = Buffer.from(sealed, "base64url");
      const index = at % bytes.length;
      bytes[index] = (bytes[index] ?? 0) ^ 1;
      expect(vault.open("cost", bytes.toString("base64url"))).toBeUndefined();
    }
  });
});
