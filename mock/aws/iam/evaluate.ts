/**
 * Decides what one policy says of one request, statement by statement, and keeps the reason.
 *
 * A statement applies when principal, action, resource and every condition fit, asked in this order; the first that
 * does not fit is where it stopped. The Allow that got furthest is the one worth telling a person about.
 *
 * Source: IAM User Guide, "Policy evaluation logic".
 *
 * @module
 */
import { type ConditionContext, conditionHolds } from "./condition.ts";
import { matchesPattern, type VariableLookup } from "./pattern.ts";
import type { PatternElement, Policy, Statement } from "./policy.ts";
import { type Caller, matchPrincipal, type PrincipalMatch } from "./principal.ts";

export interface AccessRequest {
  readonly caller: Caller;
  /** E.g. `kms:Decrypt`. */
  readonly action: string;
  /** ARN, or `*` for an action that has none. */
  readonly resource: string;
  readonly context: ConditionContext;
}

/** A statement of a named policy. */
export interface StatementReference {
  readonly policy: string;
  /** From 0. */
  readonly statement: number;
  readonly sid?: string;
}

/** A condition that did not hold: what the policy demands, and what the request said. */
export interface FailedCondition {
  readonly operator: string;
  readonly key: string;
  readonly expected: readonly string[];
  readonly actual: readonly string[] | "absent";
}

/** The Allow that came closest. */
export interface NearMiss extends StatementReference {
  readonly stoppedAt: "principal" | "action" | "resource" | "condition";
  readonly failed: readonly FailedCondition[];
}

export interface PolicyVerdict {
  readonly denies: readonly StatementReference[];
  /** Allows that reach the caller itself. */
  readonly directAllows: readonly StatementReference[];
  /** Allows that reach the caller's account. */
  readonly accountAllows: readonly StatementReference[];
  readonly nearest: NearMiss | undefined;
}

type Applied =
  | { readonly applies: true; readonly match: PrincipalMatch }
  | { readonly applies: false; readonly stoppedAt: NearMiss["stoppedAt"]; readonly failed: readonly FailedCondition[] };

export function evaluatePolicy(name: string, policy: Policy, request: AccessRequest): PolicyVerdict {
  const denies: StatementReference[] = [];
  const directAllows: StatementReference[] = [];
  const accountAllows: StatementReference[] = [];
  let nearest: NearMiss | undefined;
  for (const statement of policy.statements) {
    const reference = referenceTo(name, statement);
    const applied = applyStatement(statement, policy, request);
    if (!applied.applies) {
      if (statement.effect === "Allow") nearest = nearer(nearest, { ...reference, ...miss(applied) });
    } else if (statement.effect === "Deny") denies.push(reference);
    else (applied.match === "direct" ? directAllows : accountAllows).push(reference);
  }
  return { denies, directAllows, accountAllows, nearest };
}

function applyStatement(statement: Statement, policy: Policy, request: AccessRequest): Applied {
  const variables: VariableLookup | undefined = policy.hasVariables
    ? (key) => {
        const values = request.context.get(key.toLowerCase());
        return values?.length === 1 ? values[0] : undefined;
      }
    : undefined;
  const match = statement.principals
    ? matchPrincipal(statement.principals, statement.effect, request.caller)
    : "direct";
  if (match === "none") return { applies: false, stoppedAt: "principal", failed: [] };
  if (!matchesElement(statement.actions, request.action, { ignoreCase: true }))
    return { applies: false, stoppedAt: "action", failed: [] };
  if (!matchesElement(statement.resources, request.resource, { ignoreCase: false, variables }))
    return { applies: false, stoppedAt: "resource", failed: [] };
  const failed = statement.conditions
    .filter((condition) => !conditionHolds(condition, request.context, variables))
    .map(({ written, key, values }) => ({
      operator: written,
      key,
      expected: values,
      actual: request.context.get(key.toLowerCase()) ?? ("absent" as const),
    }));
  return failed.length === 0 ? { applies: true, match } : { applies: false, stoppedAt: "condition", failed };
}

function matchesElement(
  element: PatternElement,
  text: string,
  options: { readonly ignoreCase: boolean; readonly variables?: VariableLookup | undefined },
): boolean {
  if (element.patterns.length === 0) return false;
  const named = element.patterns.some((pattern) => matchesPattern(pattern, text, { wildcards: true, ...options }));
  return named !== element.negated;
}

function referenceTo(policy: string, { index, sid }: Statement): StatementReference {
  return { policy, statement: index, ...(sid === undefined ? {} : { sid }) };
}

function miss({ stoppedAt, failed }: Extract<Applied, { applies: false }>): Pick<NearMiss, "stoppedAt" | "failed"> {
  return { stoppedAt, failed };
}

const STAGES: readonly NearMiss["stoppedAt"][] = ["principal", "action", "resource", "condition"];

/** The one that got further; among those stopped by conditions, the one with fewer failed. */
export function nearer(a: NearMiss | undefined, b: NearMiss | undefined): NearMiss | undefined {
  if (!a || !b) return a ?? b;
  const further = STAGES.indexOf(b.stoppedAt) - STAGES.indexOf(a.stoppedAt);
  if (further !== 0) return further > 0 ? b : a;
  return b.failed.length < a.failed.length ? b : a;
}
