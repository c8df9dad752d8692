/**
 * Decides whether one condition of a policy statement holds for a request.
 *
 *   key absent    positive operators fail, negated ones hold, `…IfExists` holds, `ForAllValues` holds, `ForAnyValue`
 *                 fails, `Null` says which; `ForAllValues` in an Allow and negations are the known ways to slip through
 *   key present   any of the policy's values may match; negated operators demand that none does
 *   several       `ForAllValues` asks it of each value of the request, `ForAnyValue` of one; without either, a positive
 *                 operator asks it of one and a negated operator of each (AWS documents nothing for that)
 *
 * To set operators a key that holds nothing but an empty text is absent. A negated operator on a variable that stands
 * for nothing fails: AWS calls such a statement invalid. Condition keys are compared without case.
 *
 * Source: IAM User Guide, "AWS JSON policy elements: Condition operators", "Conditions with multiple context keys or
 * values", "Set operators for multivalued context keys", "Variables and tags".
 *
 * @module
 */
import { OPERATORS } from "./operators.ts";
import { isResolvable, type VariableLookup } from "./pattern.ts";

/** What a request says of itself: lower-case key → its values. A key with no value is not in the map. */
export type ConditionContext = ReadonlyMap<string, readonly string[]>;

export interface Condition {
  /** The operator as the policy writes it, e.g. `ForAnyValue:StringEqualsIfExists`. */
  readonly written: string;
  readonly operator: string;
  readonly quantifier: "all" | "any" | "none";
  readonly ifExists: boolean;
  readonly key: string;
  readonly values: readonly string[];
}

/** Takes an operator apart; nothing for one that is not known. */
export function readOperator(written: string): Pick<Condition, "operator" | "quantifier" | "ifExists"> | undefined {
  const [, set, name = "", suffix] = /^(ForAllValues:|ForAnyValue:)?([A-Za-z]+?)(IfExists)?$/.exec(written) ?? [];
  const quantifier = set === "ForAllValues:" ? "all" : set === "ForAnyValue:" ? "any" : "none";
  const ifExists = suffix !== undefined;
  if (name === "Null" && !ifExists && quantifier === "none") return { operator: name, quantifier, ifExists };
  return OPERATORS.has(name) ? { operator: name, quantifier, ifExists } : undefined;
}

/** Whether a policy may demand this value with this operator. */
export function acceptsValue(operator: string, value: string): boolean {
  return operator === "Null" ? /^(true|false)$/i.test(value) : OPERATORS.get(operator)?.accepts(value) === true;
}

export function conditionHolds(
  condition: Condition,
  context: ConditionContext,
  variables: VariableLookup | undefined,
): boolean {
  const { quantifier, values } = condition;
  const actual = context.get(condition.key.toLowerCase()) ?? [];
  if (condition.operator === "Null") return values.some((value) => value.toLowerCase() === String(actual.length === 0));
  const operator = OPERATORS.get(condition.operator);
  if (!operator) throw new TypeError(`no condition operator ${condition.operator}`);
  const isAbsent = quantifier === "none" ? actual.length === 0 : actual.every((value) => value === "");
  if (isAbsent) {
    if (condition.ifExists || quantifier === "all") return true;
    return operator.negated && quantifier === "none";
  }
  if (operator.negated && !values.every((value) => isResolvable(value, variables))) return false;
  const matches = (value: string): boolean => values.some((expected) => operator.compare(value, expected, variables));
  const holds = (value: string): boolean => matches(value) !== operator.negated;
  return quantifier === "all" || (quantifier === "none" && operator.negated) ? actual.every(holds) : actual.some(holds);
}
