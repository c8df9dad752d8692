/**
 * Puts a decision into words: which statements made it, or which Allow came closest and what it lacked.
 *
 * Names and values come from policies and requests: in a line they can neither end it nor stand for two of its columns.
 *
 * @module
 */
import type { Decision } from "./authorize.ts";
import type { FailedCondition, NearMiss, StatementReference } from "./evaluate.ts";

/** Every white space but a single space, and what else begins a line. */
const BREAKS = /[^\S ]|\u0085| (?= )|(?<= ) /g;

/** The same text, with `\u000a` and its like written out, so that it stays in its place of a line. */
export function oneLine(text: string): string {
  return text.replace(BREAKS, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One sentence. */
export function summarize({ outcome, because, decidedBy, nearest }: Omit<Decision, "summary">): string {
  const statements = decidedBy.map(show).join(" and ");
  if (outcome === "allowed")
    return statements === "" ? "allowed: this caller needs no policy" : `allowed by ${statements}`;
  if (outcome === "explicit deny") return `denied by ${statements}`;
  const lack = oneLine(because)
    .replace(/^because /, "")
    .replace(/ action$/, "")
    .replace(/allows the/, "allows");
  if (!nearest) return lack;
  const failed = nearest.failed.map(showFailed).join("; ");
  return `${lack}; nearest is ${show(nearest)}${failed === "" ? `, which is for another ${nearest.stoppedAt}` : `: ${failed}`}`;
}

/** Lines for people: the outcome and AWS's clause, then each statement, then each condition that failed. */
export function explainDecision({ outcome, because, decidedBy, nearest }: Decision): string {
  const lines = [`${outcome}${because === "" ? "" : ` ${oneLine(because)}`}`];
  const verb = outcome === "allowed" ? "allowed by" : "denied by";
  for (const statement of decidedBy) lines.push(`  ${verb} ${show(statement)}`);
  if (nearest) lines.push(`  nearest allow: ${show(nearest)}`, ...explainMiss(nearest).map((line) => `    ${line}`));
  return lines.join("\n");
}

function explainMiss({ stoppedAt, failed }: NearMiss): readonly string[] {
  if (stoppedAt !== "condition") return [`it is for another ${stoppedAt}`];
  return failed.flatMap(({ operator, key, expected, actual }) => [
    oneLine(`${operator} ${key}`),
    `  expected ${oneLine(expected.join(" or "))}`,
    `  actual   ${actual === "absent" ? actual : oneLine(actual.join(", "))}`,
  ]);
}

function show({ policy, statement, sid }: StatementReference): string {
  return oneLine(`${policy} statement ${statement}${sid === undefined ? "" : ` "${sid}"`}`);
}

function showFailed({ operator, key, expected, actual }: FailedCondition): string {
  const came = actual === "absent" ? "the request has none" : `the request says ${actual.join(", ")}`;
  return oneLine(`${operator} ${key} wants ${expected.join(" or ")}, ${came}`);
}
