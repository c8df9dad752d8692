/**
 * What AWS answered is what the emulator answers: every recorded KMS and STS answer, against a recipe of ours.
 *
 * `deviations.json` has each answer that does not agree, where it differs, and why. An answer that differs elsewhere, one
 * that differs and is not listed, and one that is listed and agrees all fail.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shareRsaPairs } from "../mock-aws/rsa-pairs.ts";
import { hasVectors } from "../vectors.ts";
import { type Cloud, startCloud } from "./cloud.ts";
import { type Judgement, judge } from "./judgement.ts";
import { RECIPES } from "./recipes/index.ts";
import { countDatedOnly, readRecordings } from "./recordings.ts";

interface Deviation {
  readonly id: string;
  readonly answer: string;
  /** The paths that differ, in the recording's order. */
  readonly at: readonly string[];
  readonly reason: string;
}

const SHARE_THAT_AGREES = 0.85;
/** One recording waits for an RSA key of 4,096 bits, and one brings another. */
const TIMEOUT_MS = 90_000;
const deviations = JSON.parse(
  readFileSync(new URL("deviations.json", import.meta.url), "utf8"),
) as readonly Deviation[];
const recordings = hasVectors ? readRecordings() : [];
const recipes = new Map(RECIPES.map((recipe) => [recipe.id, recipe]));

describe.skipIf(!hasVectors)("answers recorded from AWS (needs the reference vectors)", () => {
  const judgements: Judgement[] = [];
  let cloud: Cloud | undefined;
  shareRsaPairs({ RSA_2048: 2, RSA_3072: 1, RSA_4096: 1 });
  beforeAll(async () => void (cloud = await startCloud()));
  afterAll(() => cloud?.[Symbol.asyncDispose]());

  const answered = recordings.filter(({ answers }) => answers.size > 0);

  test.each(answered.map((recording) => [recording.id.replace(/^.*::/, ""), recording] as const))(
    "%s",
    async (_, recording) => {
      const judged = await judge(cloud as Cloud, recording, recipes.get(recording.id));
      judgements.push(...judged);
      const listedAt = (answer: string): readonly string[] =>
        deviations.find((listed) => listed.id === recording.id && listed.answer === answer)?.at ?? [];
      const found = judged.map(({ answer, differences }) => [answer, differences.map(({ path }) => path)]);
      expect(found, report(judged)).toEqual(judged.map(({ answer }) => [answer, listedAt(answer)]));
    },
    TIMEOUT_MS,
  );

  test("every recording has a recipe, and every recipe a recording", () => {
    expect(recipes.size).toBe(RECIPES.length);
    expect([...recipes.keys()].sort()).toEqual(answered.map(({ id }) => id).sort());
  });

  test("every deviation has a recorded answer, a place and a reason", () => {
    for (const { id, answer, at, reason } of deviations) {
      expect(recordings.find((recording) => recording.id === id)?.answers.has(answer), `${id} ${answer}`).toBe(true);
      expect(at.length).toBeGreaterThan(0);
      expect(reason.length).toBeGreaterThan(20);
    }
  });

  test("at least 85 % agree", () => {
    const total = recordings.reduce((sum, { answers }) => sum + answers.size, 0);
    const agreeing = judgements.filter(({ differences }) => differences.length === 0).length;
    const share = agreeing / total;
    process.stdout.write(
      `recorded answers: ${agreeing} of ${total} agree (${(share * 100).toFixed(1)} %), ` +
        `${deviations.length} deviations listed, ${countDatedOnly(recordings)} recordings have a date and no answer\n`,
    );
    expect(total).toBeGreaterThan(250);
    expect(share).toBeGreaterThanOrEqual(SHARE_THAT_AGREES);
  });
});

function report(judged: readonly Judgement[]): string {
  const lines = judged.flatMap(({ answer, differences }) =>
    differences.map(({ path, expected, actual }) => `${answer} ${path}: ${expected}, not ${actual}`),
  );
  return lines.join("\n");
}
