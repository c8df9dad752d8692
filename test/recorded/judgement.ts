/**
 * Runs a recipe and judges every answer that its recording has.
 *
 * @module
 */
import type { Cloud } from "./cloud.ts";
import { Bindings, compare, type Difference } from "./harness.ts";
import type { Recording } from "./recordings.ts";
import { type Recipe, Session } from "./session.ts";

export interface Judgement {
  readonly id: string;
  readonly answer: string;
  /** None: the answers agree. */
  readonly differences: readonly Difference[];
}

/** One judgement for each recorded answer; no recipe, or one that made no such request: it does not agree. */
export async function judge(cloud: Cloud, recording: Recording, recipe: Recipe | undefined): Promise<Judgement[]> {
  const session = new Session(cloud);
  const stopped = recipe === undefined ? "no recipe" : await run(recipe, session);
  const bindings = new Bindings([
    ["<partition>", "aws"],
    ["<region>", session.region],
    ["<secondary-region>", session.secondaryRegion],
  ]);
  return [...recording.answers].map(([answer, expected]) => {
    const given = session.answers.get(answer);
    const actual = stopped ?? "no request";
    const differences = given
      ? compare({ expected, actual: given.value, captures: given.captures }, bindings)
      : [{ path: "$", expected: "an answer", actual }];
    return { id: recording.id, answer, differences };
  });
}

/** `undefined` where it came to its end; otherwise what stopped it. */
async function run(recipe: Recipe, session: Session): Promise<string | undefined> {
  try {
    await recipe.run(session);
    return undefined;
  } catch (error) {
    return `${error}`;
  }
}
