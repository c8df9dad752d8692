/**
 * The recordings: read from the reference vectors, never copied.
 *
 * @module
 */
import { vector } from "../vectors.ts";
import type { Recorded } from "./harness.ts";

export interface Recording {
  readonly id: string;
  /** Answers by the recording's names for them, in its order; what the recording's author put in by hand is left out. */
  readonly answers: ReadonlyMap<string, Recorded>;
}

const FILES = ["ls-kms-snap.json", "snap-test_sts.snapshot.json"];

/** Noted by the recording itself, to bind a placeholder: AWS said no such thing. */
const CAPTURES: ReadonlySet<string> = new Set(["role-session-name"]);

interface Snapshot {
  readonly "recorded-content": Readonly<Record<string, Recorded>>;
}

export function readRecordings(): readonly Recording[] {
  const parsed = FILES.flatMap((file) => {
    const text = new TextDecoder().decode(vector(`aws/recorded/${file}`));
    return Object.entries(JSON.parse(text) as Record<string, Snapshot>);
  });
  return parsed.map(([id, { "recorded-content": content }]) => ({
    id,
    answers: new Map(Object.entries(content).filter(([name]) => !CAPTURES.has(name))),
  }));
}

/** Recordings of which only the day is known on which AWS passed them. */
export function countDatedOnly(recordings: readonly Recording[]): number {
  const dated = Object.keys(
    JSON.parse(new TextDecoder().decode(vector("aws/recorded/ls-kms-val.json"))) as Record<string, unknown>,
  );
  const answered = new Set(recordings.filter(({ answers }) => answers.size > 0).map(({ id }) => id));
  const all = new Set([...dated, ...recordings.map(({ id }) => id)]);
  return [...all].filter((id) => !answered.has(id)).length;
}
