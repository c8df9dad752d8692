/** Every operation of the model is served, and called through the SDK in a test beside this one. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OPERATIONS } from "../../../mock/aws/kms/operations/index.ts";

const here = import.meta.dirname;
const model = JSON.parse(readFileSync(join(here, "../../../mock/aws/kms/model.json"), "utf8")) as {
  readonly operations: Readonly<Record<string, unknown>>;
};
const names = Object.keys(model.operations);

test("all 54 operations of the model are served, and no others", () => {
  expect(names).toHaveLength(54);
  expect([...OPERATIONS.keys()].toSorted()).toEqual(names.toSorted());
});

test("each of them is called through the SDK", () => {
  const files = readdirSync(here).filter((name) => name.endsWith(".test.ts"));
  const source = files.map((name) => readFileSync(join(here, name), "utf8")).join("\n");
  const called = new Set([...source.matchAll(/\.(\w+)\((?=\{|input\()/g)].map(([, name]) => name));
  const isCalled = (name: string): boolean => called.has(`${name.charAt(0).toLowerCase()}${name.slice(1)}`);
  expect(names.filter((name) => !isCalled(name))).toEqual([]);
  expect(isCalled("DestroyKey")).toBe(false);
});
