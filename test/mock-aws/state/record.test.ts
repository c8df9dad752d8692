import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBatch, encodeBatch, encodeEntry } from "../../../mock/aws/state/record.ts";
import { codeOf } from "./testbed.ts";

function writeAndRead(row: object): object | undefined {
  const [change] = decodeBatch(encodeBatch([{ table: "t", id: "i", text: encodeEntry({ sequence: 7, row }) }]));
  return change?.entry?.row;
}

/** Names of members that are likely to be taken for something else. */
const name = fc.oneof(
  fc.string(),
  fc.constantFrom("$date", "$bytes", "$$", "$", "__proto__", "constructor", "0", "$$date"),
);

const { row } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, true, false, 0, -1.5, Number.MAX_SAFE_INTEGER, 1e300),
    fc.string({ unit: "binary" }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.array(tie("value")),
    tie("row"),
  ),
  row: fc.dictionary(name, tie("value"), { noNullPrototype: true }),
}));

describe("rows as text", () => {
  test("reading inverts writing, whatever the row", () => {
    fc.assert(
      fc.property(row, (value) => {
        expect(writeAndRead(value as object)).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  test("a member called __proto__ stays a member", () => {
    const value = JSON.parse('{"__proto__": {"isAdmin": true}, "inner": {"__proto__": {"$bytes": "AA=="}}}') as object;
    const read = writeAndRead(value) as { readonly isAdmin?: boolean };
    expect(Object.keys(read)).toEqual(["__proto__", "inner"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(read.isAdmin).toBeUndefined();
  });

  test("bytes come back as bytes of their own, also from a view and a Buffer", () => {
    const view = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
    const read = writeAndRead({ view, buffer: Buffer.from("ab") }) as { view: Uint8Array; buffer: Uint8Array };
    expect([read.view.constructor, read.buffer.constructor]).toEqual([Uint8Array, Uint8Array]);
    expect([[...read.view], [...read.buffer]]).toEqual([
      [2, 3],
      [97, 98],
    ]);
    expect(read.view.buffer.byteLength).toBe(2);
  });

  test.each([
    ["undefined", undefined],
    ["NaN", Number.NaN],
    ["infinity", Number.POSITIVE_INFINITY],
    ["a bigint", 1n],
    ["a function", () => 0],
    ["a symbol", Symbol("s")],
    ["a map", new Map()],
    ["an object of a class", new (class Key {})()],
    ["a date that is none", new Date(Number.NaN)],
    ["other typed arrays", new Uint16Array(1)],
    ["a hole in an array", new Array(1)],
  ])("%s in a row is a programmer's mistake, named by its place", (_, value) => {
    expect(() => encodeEntry({ sequence: 0, row: { list: [{ member: value }] } })).toThrow(TypeError);
    expect(() => encodeEntry({ sequence: 0, row: { list: [{ member: value }] } })).toThrow(/^row\.list\[0\]\.member/);
  });

  test("a row is an object, and nests 64 deep at most, so never in a circle", () => {
    for (const none of [null, [], new Date(), new Uint8Array(1), "text"])
      expect(() => encodeEntry({ sequence: 0, row: none as object })).toThrow(TypeError);
    const nested = (depth: number): object => (depth === 0 ? {} : { n: nested(depth - 1) });
    expect(writeAndRead(nested(64))).toEqual(nested(64));
    expect(() => writeAndRead(nested(65))).toThrow(TypeError);
    const circle: { self?: object } = {};
    circle.self = circle;
    expect(() => encodeEntry({ sequence: 0, row: circle })).toThrow(TypeError);
  });

  test("a deletion is read as one", () => {
    expect(decodeBatch(encodeBatch([{ table: "t", id: '\u0000"', text: undefined }]))).toEqual([
      { table: "t", id: '\u0000"', entry: undefined },
    ]);
    expect(decodeBatch(encodeBatch([]))).toEqual([]);
  });

  test.each([
    "",
    "{}",
    "null",
    "[1]",
    "[[]]",
    '[["t","i"]]',
    '[["t","i",null,0]]',
    '[[0,"i",null]]',
    '[["t",0,null]]',
    '[["t","i",0]]',
    '[["t","i",[1]]]',
    '[["t","i",[1,{},0]]]',
    '[["t","i",[-1,{}]]]',
    '[["t","i",["1",{}]]]',
    '[["t","i",[1.5,{}]]]',
    '[["t","i",[1,null]]]',
    '[["t","i",[1,[]]]]',
    '[["t","i",[1,{"$bytes":"AA=="}]]]',
    '[["t","i",[1,{"a":{"$other":1}}]]]',
    '[["t","i",[1,{"a":{"$bytes":1}}]]]',
    '[["t","i",[1,{"a":{"$bytes":"A"}}]]]',
    '[["t","i",[1,{"a":{"$date":"1"}}]]]',
    '[["t","i",[1,{"a":{"$date":1e17}}]]]',
    '[["t","i",[1,{"a":{"$date":1,"b":2}}]]]',
    '[["t","i",null]]x',
    '[["t","i",null],]',
  ])("text that is no batch is refused: %s", async (text) => {
    expect(await codeOf(() => decodeBatch(Buffer.from(text)))).toBe("ERR_STATE_MALFORMED");
  });

  test("bytes that are no text are refused, and nothing but the own error is ever thrown", async () => {
    expect(await codeOf(() => decodeBatch(Uint8Array.of(0x5b, 0xff, 0x5d)))).toBe("ERR_STATE_MALFORMED");
    const text = encodeBatch([
      { table: "t", id: "i", text: encodeEntry({ sequence: 1, row: { d: new Date(0), b: new Uint8Array(3) } }) },
    ]);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(text);
        changed[at] = byte;
        try {
          decodeBatch(changed);
        } catch (error) {
          expect((error as { code?: string }).code).toBe("ERR_STATE_MALFORMED");
        }
      }),
    );
  });
});
