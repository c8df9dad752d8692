/** The JSON of requests: what JSON.parse reads, and no name twice. */
import { describe, expect, test } from "vitest";
import { parseJson } from "../../mock/aws/json.ts";

describe("parseJson", () => {
  test.each(['{"a":[1,-2.5e3,true,false,null,"\\u00e9\\n\\""]}', "  [ ]  ", "{}", '"x"', "0"])("reads %s", (text) => {
    expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)));
  });
  test.each([
    '{"a":1,}',
    "[1,]",
    "{a:1}",
    "01",
    "+1",
    "nul",
    '"\\x"',
    '"a',
    '"\n"',
    "[1 2]",
    '{"a" 1}',
    "-",
    "",
    "[",
    '{"a"',
  ])("refuses %s", (text) => expect(() => parseJson(text)).toThrow(SyntaxError));
  test("refuses a name that is repeated by another spelling", () => {
    expect(() => parseJson('{"a":1,"\\u0061":2}')).toThrow(SyntaxError);
  });
});
