import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

interface Break {
  readonly check: string;
  readonly file: string;
  readonly find: string;
}

const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");

test.each(JSON.parse(read("breaks.json")) as Break[])("`make break` can still break: $check", ({ file, find }) => {
  expect(read(`../../${file}`).split(find).length - 1).toBe(1);
});
