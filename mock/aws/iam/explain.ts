/**
 * Puts a decision into words: which statements made it, or which Allow came closest and what it lacked.
 *
 * @module
 */
import type { Decision } from "./authorize.ts";
import type { FailedCondition, NearMiss, StatementReference } from "./evaluate.ts";

/** One sentence. */
export function summarize({ outcome, because, decidedBy, nearest }: Omit<Decision, "summary">): string {
  const statements = decidedBy.map(show).join(" and ");
  if (outcome === "allowed")
    return statements === "" ? "allowed: this caller needs no policy" : `allowed by ${statements}`;
  if (outcome === "explicit deny") return `denied by ${statements}`;
  const lack = because
    .replace(/^because /, "")
    .replace(/ action$/, "")
    .replace(/allows the/, "allows");
  if (!nearest) return lack;
  const failed = nearest.failed.map(showFailed).join("; ");
  return `${lack}; nearest is ${show(nearest)}${failed === "" ? `, which is for another ${nearest.stoppedAt}` : `: ${failed}`}`;
}

/** Lines for people: the outcome and AWS's clause, then each statement, then each condition that failed. */
export function explainDecision({ outcome, because, decidedBy, nearest }: Decision): string {
  const lines = [`${outcome}${because === "" ? "" : ` ${because}`}`];
  const verb = outcome === "allowed" ? "allowed by" : "denied by";
  for (const statement of decidedBy) lines.push(`  ${verb} ${show(statement)}`);
  if (nearest) lines.push(`  nearest allow: ${show(nearest)}`, ...explainMiss(nearest).map((line) => `    ${line}`));
  return lines.join("\n");
}

function explainMiss({ stoppedAt, failed }: NearMiss): readonly string[] {
  if (stoppedAt !== "condition") return [`it is for another ${stoppedAt}`];
  return failed.flatMap(({ operator, key, expected, actual }) => [
    `${operator} ${key}`,
    `  expected ${expected.join(" or ")}`,
    `  actual   ${actual === "absent" ? actual : actual.join(", ")}`,
  ]);
}

function show({ policy, statement, sid }: StatementReference): string {
  return `${policy} statement ${statement}${sid === undefined ? "" : ` "${sid}"`}`;
}

function showFailed({ operator, key, expected, actual }: FailedCondition): string {
  const came = actual === "absent" ? "the request has none" : `the request says ${actual.join(", ")}`;
  return `${operator} ${key} wants ${expected.join(" or ")}, ${came}`;
}
