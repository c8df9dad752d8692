/** The evaluator against a brute-force reference, on generated conditions, patterns and whole decisions. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { authorize } from "../../../mock/aws/iam/authorize.ts";
import { conditionHolds, readOperator } from "../../../mock/aws/iam/condition.ts";
import { matchesPattern } from "../../../mock/aws/iam/pattern.ts";
import { parsePolicy } from "../../../mock/aws/iam/policy.ts";
import { cases, OWNER, rawCondition, rawContext } from "./generators.ts";
import { type Case, glob, type RawPolicy, referenceCondition, referenceVerdict, type Verdict } from "./reference.ts";

const RUNS = process.env["SLOW"] === "1" ? 100_000 : 4_000;
const PATIENCE_MS = process.env["SLOW"] === "1" ? 1_000_000 : 60_000;
const SEED = 5;

function verdictOf(given: Case): Verdict {
  const named = (name: string, kind: "identity" | "resource") => (policy: RawPolicy) => ({
    name,
    policy: parsePolicy(JSON.stringify(policy), kind),
  });
  const { caller, action, resource, boundary, session, keyPolicy, identitySuffices } = given;
  const decision = authorize(
    { caller, action, resource, context: new Map(Object.entries(given.context)) },
    {
      identityPolicies: given.identity.map(named("identity", "identity")),
      ...(boundary && { permissionsBoundary: named("boundary", "identity")(boundary) }),
      ...(session && { sessionPolicies: session.map(named("session", "identity")) }),
      ...(keyPolicy && {
        resourcePolicy: { ...named("key", "resource")(keyPolicy), accountId: OWNER, identitySuffices },
      }),
      grants: given.hasGrant && keyPolicy ? [{ policy: "grant", statement: 0 }] : [],
    },
  );
  return { outcome: decision.outcome, because: decision.because };
}

describe("the evaluator and the reference agree", () => {
  test(
    "on whole decisions, and on AWS's clause",
    () => {
      const seen: Record<string, number> = {};
      fc.assert(
        fc.property(cases, (given) => {
          const wanted = referenceVerdict({ ...given, hasGrant: given.hasGrant && given.keyPolicy !== null });
          const kind = `${wanted.outcome} ${wanted.because.replace(/ allows.*/, "")}`.trim();
          seen[kind] = (seen[kind] ?? 0) + 1;
          expect(verdictOf(given)).toEqual(wanted);
        }),
        { numRuns: RUNS, seed: SEED },
      );
      console.log(`decisions compared: ${RUNS}\n${JSON.stringify(seen, null, 2)}`);
      const count = (outcome: string): number =>
        Object.entries(seen).reduce((sum, [kind, times]) => sum + (kind.startsWith(outcome) ? times : 0), 0);
      for (const outcome of ["allowed", "explicit deny", "implicit deny"])
        expect(count(outcome), outcome).toBeGreaterThan(RUNS / 8);
      for (const clause of ["resource-based policy", "identity-based policy", "permissions boundary", "session policy"])
        for (const outcome of ["explicit deny", "implicit deny"])
          expect(
            Object.entries(seen).filter(
              ([kind, n]) => kind.startsWith(outcome) && kind.endsWith(clause) && n > RUNS / 200,
            ),
            `${outcome}: ${clause}`,
          ).toHaveLength(1);
    },
    PATIENCE_MS,
  );

  test(
    "on single conditions",
    () => {
      let holding = 0;
      fc.assert(
        fc.property(rawCondition, rawContext, fc.boolean(), (condition, context, hasVariables) => {
          const wanted = referenceCondition(condition, context, hasVariables ? context : undefined);
          if (wanted) holding++;
          const lookup = (key: string): string | undefined => {
            const values = context[key.toLowerCase()];
            return values?.length === 1 ? values[0] : undefined;
          };
          const { operator: written, key, values } = condition;
          const operator = readOperator(written) ?? expect.unreachable();
          const read = { written, ...operator, key, values };
          expect(conditionHolds(read, new Map(Object.entries(context)), hasVariables ? lookup : undefined)).toBe(
            wanted,
          );
        }),
        { numRuns: 5 * RUNS, seed: SEED },
      );
      console.log(`conditions compared: ${5 * RUNS}, of them hold: ${holding}`);
      expect(holding).toBeGreaterThan(RUNS);
      expect(holding).toBeLessThan(4 * RUNS);
    },
    PATIENCE_MS,
  );

  test("on patterns", () => {
    const letters = (alphabet: string, maxLength: number) =>
      fc.array(fc.constantFrom(...alphabet), { maxLength }).map((list) => list.join(""));
    fc.assert(
      fc.property(letters("ab*?", 8), letters("ab", 8), (pattern, text) => {
        const options = { wildcards: true, ignoreCase: false };
        expect(matchesPattern(pattern, text, options)).toBe(glob(pattern).test(text));
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
