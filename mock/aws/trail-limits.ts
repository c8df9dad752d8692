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
  return JSON.stringify(shown).length > ELEMENTS_MAX ? null : shown;
}

export function shortExplanation(explanation: Explanation): Explanation {
  return short(explanation, EXPLANATION) as Explanation; // texts stay texts and lists stay lists
}

function short(value: unknown, limits: Limits): unknown {
  if (typeof value === "string") return shortText(value, limits.text);
  if (Array.isArray(value)) return shortList(value, limits);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const isSentence = limits === EXPLANATION && SENTENCES.has(name) && typeof member === "string";
      return [shortText(name, limits.text), isSentence ? shortText(member) : short(member, limits)];
    }),
  );
}

function shortList(values: readonly unknown[], limits: Limits): readonly unknown[] {
  return values.slice(0, limits.list).map((value) => short(value, limits));
}
