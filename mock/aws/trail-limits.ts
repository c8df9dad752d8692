/**
 * How much of what a client wrote a record of the trail keeps.
 *
 *   errorMessage, summary and reasons     1,024 characters, CloudTrail's own limit of `errorMessage`
 *   names and values of the parameters    1,024 characters each; all together 100 KiB of JSON, above it `null`
 *   names and values of the explanation   256 characters each, of a list the first 32
 *
 * Texts are copied: a piece that only points into the text it was cut from would keep all of it.
 *
 * Source: CloudTrail User Guide, "Record contents": `errorMessage`, `requestParameters`, `responseElements`.
 *
 * @module
 */
import type { JsonObject } from "./json.ts";
import type { Explanation } from "./trail.ts";

interface Limits {
  readonly text: number;
  /** Entries of a list. */
  readonly list: number;
}

const TEXT_MAX = 1_024;
const ELEMENTS: Limits = { text: TEXT_MAX, list: Number.POSITIVE_INFINITY };
const ELEMENTS_MAX = 102_400;
const EXPLANATION: Limits = { text: 256, list: 32 };
/** Members that are sentences, made of several values. */
const SENTENCES: ReadonlySet<string> = new Set(["summary", "because", "reason"]);

export function shortText(text: string, max: number = TEXT_MAX): string {
  if (text.length <= max) return text;
  return Buffer.from(`${text.slice(0, max - 1)}…`, "utf16le").toString("utf16le");
}

/** `requestParameters` or `responseElements`. */
export function shortElements(elements: JsonObject | null): JsonObject | null {
  const shown = short(elements, ELEMENTS) as JsonObject | null;
  if (boundOf(shown) <= ELEMENTS_MAX) return shown;
  return JSON.stringify(shown).length > ELEMENTS_MAX ? null : shown;
}

export function shortExplanation(explanation: Explanation): Explanation {
  return short(explanation, EXPLANATION) as Explanation; // texts stay texts and lists stay lists
}

/** The value itself where nothing is too long, which is nearly always. */
function short(value: unknown, limits: Limits): unknown {
  if (typeof value === "string") return shortText(value, limits.text);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return shortList(value, limits);
  let isWhole = true;
  const members: [name: string, member: unknown][] = [];
  for (const [name, member] of Object.entries(value)) {
    const isSentence = limits === EXPLANATION && typeof member === "string" && SENTENCES.has(name);
    const kept = [shortText(name, limits.text), isSentence ? shortText(member) : short(member, limits)] as const;
    isWhole &&= kept[0] === name && kept[1] === member;
    members.push([...kept]);
  }
  return isWhole ? value : Object.fromEntries(members);
}

function shortList(values: readonly unknown[], limits: Limits): readonly unknown[] {
  const kept = values.slice(0, limits.list).map((value) => short(value, limits));
  return kept.length === values.length && kept.every((value, index) => value === values[index]) ? values : kept;
}

/** No JSON of the value is longer: a character takes six at most, as `\u0000`. */
function boundOf(value: unknown): number {
  if (typeof value === "string") return 6 * value.length + 3;
  if (typeof value !== "object" || value === null) return 25;
  let bound = 2;
  for (const [name, member] of Object.entries(value)) bound += 6 * name.length + 4 + boundOf(member);
  return bound;
}
