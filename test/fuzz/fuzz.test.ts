/**
 * Replays the committed corpus through each target and fuzzes on for `FUZZ_SECONDS` a target: 5 in CI, 60 by
 * `make fuzz`. `UPDATE=1` keeps what reached new ground.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { isEncodingError } from "../../shared/errors/index.ts";
import { type FuzzTarget, fuzz, mutate, xorshift } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

const seconds = Number(process.env["FUZZ_SECONDS"] ?? 5);
const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() & 0x7fffffff);
const folder = (name: string): string => fileURLToPath(new URL(`./corpus/${name}/`, import.meta.url));
const CORPUS_MAX = 40;

function readCorpus(name: string): Uint8Array[] {
  if (!existsSync(folder(name))) return [];
  return readdirSync(folder(name))
    .sort()
    .map((file) => new Uint8Array(readFileSync(folder(name) + file)));
}

function keep(name: string, inputs: readonly Uint8Array[]): void {
  mkdirSync(folder(name), { recursive: true });
  for (const input of inputs.slice(0, Math.max(0, CORPUS_MAX - readdirSync(folder(name)).length))) {
    writeFileSync(`${folder(name)}${createHash("sha256").update(input).digest("hex").slice(0, 16)}.bin`, input);
  }
}

describe.each(TARGETS)("fuzzing $name", (target) => {
  test(`nothing but refusals by design (seed ${seed})`, { timeout: (seconds + 60) * 1_000 }, async () => {
    const corpus = readCorpus(target.name);
    const { runs, blocks, added, findings } = await fuzz(target, { seconds, seed, corpus });
    console.log(
      `fuzz ${target.name}: ${runs} runs, ${blocks} blocks, corpus ${corpus.length} + ${added.length}, seed ${seed}`,
    );
    if (process.env["UPDATE"]) keep(target.name, added);
    const shown = findings.map(({ input, error }) => `${Buffer.from(input).toString("hex").slice(0, 400)}: ${error}`);
    expect(shown).toEqual([]);
    expect(runs).toBeGreaterThan(corpus.length);
    expect(blocks).toBeGreaterThan(20);
  });
});

describe("the fuzzer itself", () => {
  const hidden: FuzzTarget = {
    name: "hidden",
    covers: /shared\/cbor\/decode/,
    seeds: async () => [Uint8Array.of(0x81, 0x81, 0x01)],
    run: (data) => {
      try {
        decodeCbor(data, { maxDepth: 4, indefinite: true });
      } catch (error) {
        if (!isEncodingError(error)) throw error;
        if (error.details.rule === "a map key comes twice") throw new Error("reached");
      }
    },
  };

  test("finds a path that takes several mutations", { timeout: 60_000 }, async () => {
    const { findings } = await fuzz(hidden, { seconds: 30, seed: 1, corpus: [] });
    expect(findings.map(({ error }) => (error as Error).message)).toContain("reached");
  });

  test("the same seed gives the same mutations", () => {
    const make = () => {
      const random = xorshift(7);
      return Array.from({ length: 50 }, () =>
        Buffer.from(mutate(Uint8Array.of(1, 2, 3), Uint8Array.of(4), random)).toString("hex"),
      );
    };
    expect(make()).toEqual(make());
    expect(new Set(make()).size).toBeGreaterThan(20);
  });
});
