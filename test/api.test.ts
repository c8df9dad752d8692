import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly default: string } | string>>;
}

const path = fileURLToPath(new URL("../package.json", import.meta.url));
const { exports } = JSON.parse(readFileSync(path, "utf8")) as Manifest;

/** Subpath → every exported value with its kind, from the sources. */
async function surface(): Promise<Record<string, Record<string, string>>> {
  const all: Record<string, Record<string, string>> = {};
  for (const [subpath, target] of Object.entries(exports)) {
    if (typeof target === "string") continue;
    const source = target.default.replace("./dist/", "../").replace(/\.js$/, ".ts");
    const module = (await import(source)) as Record<string, unknown>;
    all[subpath] = Object.fromEntries(
      Object.keys(module)
        .sort()
        .map((name) => [name, kindOf(module[name])]),
    );
  }
  return all;
}

function kindOf(value: unknown): string {
  if (typeof value !== "function") return typeof value;
  return /^class\b/.test(Function.prototype.toString.call(value)) ? "class" : "function";
}

test("the public surface is the one that was agreed on (make docs writes it anew)", async () => {
  const found = await surface();
  expect(Object.keys(found).length).toBe(13);
  await expect(`${JSON.stringify(found, null, 2)}\n`).toMatchFileSnapshot("./api.json");
});
