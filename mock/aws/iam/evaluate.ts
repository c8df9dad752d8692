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
import { isResolvable, matchesPattern, type VariableLookup } from "./pattern.ts";
import type { PatternElement, Policy, Statement } from "./policy.ts";
import { type Caller, matchPrincipal, type PrincipalMatch } from "./principal.ts";

export interface AccessRequest {
  readonly caller: Caller;
  /** E.g. `kms:Decrypt`. */
  readonly action: string;
  /** ARN, or `*` for an action that has none. */
  readonly resource: string;
  /** Looked at when a condition or a variable asks for it, so it can be a getter that gathers it then. */
  readonly context: ConditionContext;
}

export interface NamedPolicy {
  readonly name: string;
  readonly policy: Policy;
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
  /** By how they reach the caller; those of policies that name no principal are `direct`. */
  readonly allows: Readonly<Record<Reached, readonly StatementReference[]>>;
  readonly nearest: NearMiss | undefined;
}

type Reached = Exclude<PrincipalMatch, "none">;
type Applied =
  | { readonly applies: true; readonly match: Reached }
  | { readonly applies: false; readonly stoppedAt: NearMiss["stoppedAt"]; readonly failed: readonly FailedCondition[] };

/** A request, and whether a permissions boundary hangs on its caller. */
interface Question {
  readonly request: AccessRequest;
  readonly hasBoundary: boolean;
}

/** What the policies say together. */
export function evaluatePolicies(policies: readonly NamedPolicy[], question: Question): PolicyVerdict {
  const lookup: VariableLookup = (key) => {
    const values = question.request.context.get(key.toLowerCase());
    return values?.length === 1 ? values[0] : undefined;
  };
  const denies: StatementReference[] = [];
  const allows: Record<Reached, StatementReference[]> = { direct: [], role: [], account: [] };
  let nearest: NearMiss | undefined;
  for (const { name, policy } of policies)
    for (const statement of policy.statements) {
      const reference = referenceTo(name, statement);
      const applied = applyStatement(statement, question, policy.hasVariables ? lookup : undefined);
      if (applied.applies) (statement.effect === "Deny" ? denies : allows[applied.match]).push(reference);
      else if (statement.effect === "Allow") {
        const { stoppedAt, failed } = applied;
        nearest = nearer(nearest, { ...reference, stoppedAt, failed });
      }
    }
  return { denies, allows, nearest };
}

function applyStatement(
  { principals, effect, actions, resources, conditions }: Statement,
  { request, hasBoundary }: Question,
  variables: VariableLookup | undefined,
): Applied {
  const { caller, action, resource } = request;
  const match = principals ? matchPrincipal(principals, { effect, caller, hasBoundary }) : "direct";
  if (match === "none") return { applies: false, stoppedAt: "principal", failed: [] };
  if (!matchesElement(actions, action, { ignoreCase: true }))
    return { applies: false, stoppedAt: "action", failed: [] };
  if (!matchesElement(resources, resource, { ignoreCase: false, variables }))
    return { applies: false, stoppedAt: "resource", failed: [] };
  if (conditions.length === 0) return { applies: true, match };
  const { context } = request;
  const failed = conditions
    .filter((condition) => !conditionHolds(condition, context, variables))
    .map(({ written, key, values }) => ({
      operator: written,
      key,
      expected: values,
      actual: context.get(key.toLowerCase()) ?? ("absent" as const),
    }));
  return failed.length === 0 ? { applies: true, match } : { applies: false, stoppedAt: "condition", failed };
}

function matchesElement(
  { negated, patterns }: PatternElement,
  text: string,
  options: { readonly ignoreCase: boolean; readonly variables?: VariableLookup | undefined },
): boolean {
  // AWS calls a statement with a variable that stands for nothing invalid: it must not reach all the rest.
  if (negated && !patterns.every((pattern) => isResolvable(pattern, options.variables))) return false;
  const named = patterns.some((pattern) => matchesPattern(pattern, text, { wildcards: true, ...options }));
  return named !== negated;
}

function referenceTo(policy: string, { index, sid }: Statement): StatementReference {
  return { policy, statement: index, ...(sid === undefined ? {} : { sid }) };
}

const STAGES: readonly NearMiss["stoppedAt"][] = ["principal", "action", "resource", "condition"];

/** The one that got further; among those stopped by conditions, the one with fewer failed. */
export function nearer(a: NearMiss | undefined, b: NearMiss | undefined): NearMiss | undefined {
  if (!a || !b) return a ?? b;
  const further = STAGES.indexOf(b.stoppedAt) - STAGES.indexOf(a.stoppedAt);
  if (further !== 0) return further > 0 ? b : a;
  return b.failed.length < a.failed.length ? b : a;
}
