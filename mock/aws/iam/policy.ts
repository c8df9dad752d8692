/**
 * Reads a policy document into statements that can be evaluated, or says why it is not one.
 *
 * Stricter than AWS in two places, so that a typing error does not become a policy: `Version` must be there (AWS takes
 * its absence for 2008-10-17), and a name must not stand twice. A key policy's statement without Action or Resource is
 * taken, as KMS does, and never matches.
 *
 * Source: IAM User Guide, "Grammar of the IAM JSON policy language"; KMS Developer Guide, "Key policies".
 *
 * @module
 */
import { isJsonArray, isJsonObject, type Json, type JsonObject, parseJson } from "../json.ts";
import { type Condition, readOperator } from "./condition.ts";
import { type PrincipalElement, type PrincipalPattern, readAwsPrincipal } from "./principal.ts";

/** A policy as JSON. What is not in these shapes is refused when the policy is read. */
export interface PolicyDocument {
  readonly Version: "2012-10-17" | "2008-10-17";
  readonly Id?: string;
  readonly Statement: PolicyStatement | readonly PolicyStatement[];
}
export interface PolicyStatement {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: "*" | Readonly<Record<string, string | readonly string[]>>;
  readonly NotPrincipal?: "*" | Readonly<Record<string, string | readonly string[]>>;
  readonly Action?: string | readonly string[];
  readonly NotAction?: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly NotResource?: string | readonly string[];
  readonly Condition?: Readonly<
    Record<string, Readonly<Record<string, string | number | boolean | readonly (string | number | boolean)[]>>>
  >;
}

/** `resource` policies name principals, `identity` policies hang on one. */
export type PolicyKind = "resource" | "identity";

export interface PatternElement {
  readonly negated: boolean;
  /** None: the statement never matches. */
  readonly patterns: readonly string[];
}
export interface Statement {
  /** Place in the document, from 0. */
  readonly index: number;
  readonly sid: string | undefined;
  readonly effect: "Allow" | "Deny";
  /** Absent in identity policies. */
  readonly principals: PrincipalElement | undefined;
  readonly actions: PatternElement;
  readonly resources: PatternElement;
  readonly conditions: readonly Condition[];
}
export interface Policy {
  readonly hasVariables: boolean;
  readonly statements: readonly Statement[];
}

/** A text that is not a policy. Services give it their own error's name. */
export class PolicyRefusal extends Error {
  override readonly name = "PolicyRefusal";
}

const ELEMENTS = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"];

/** @throws {PolicyRefusal} not a policy of this kind */
export function parsePolicy(text: string, kind: PolicyKind): Policy {
  const document = readDocument(text);
  assertKnown(document, ["Version", "Id", "Statement"], "the policy");
  const version = document["Version"];
  if (version !== "2012-10-17" && version !== "2008-10-17")
    throw new PolicyRefusal("Version must be 2012-10-17 or 2008-10-17");
  if (document["Id"] !== undefined && typeof document["Id"] !== "string") throw new PolicyRefusal("Id must be a text");
  const statements = listed(document["Statement"]);
  if (statements.length === 0) throw new PolicyRefusal("Statement must hold at least one statement");
  return {
    hasVariables: version === "2012-10-17",
    statements: statements.map((statement, index) => readStatement(statement, index, kind)),
  };
}

function readDocument(text: string): JsonObject {
  let document: Json;
  try {
    document = parseJson(text);
  } catch (cause) {
    throw new PolicyRefusal("the policy is not JSON, or a name stands twice in it", { cause });
  }
  if (!isJsonObject(document)) throw new PolicyRefusal("the policy must be a JSON object");
  return document;
}

function readStatement(value: Json, index: number, kind: PolicyKind): Statement {
  const at = `statement ${index}`;
  if (!isJsonObject(value)) throw new PolicyRefusal(`${at} must be a JSON object`);
  assertKnown(value, [...ELEMENTS, "Condition"], at);
  const { Sid: sid, Effect: effect } = value;
  if (sid !== undefined && typeof sid !== "string") throw new PolicyRefusal(`Sid of ${at} must be a text`);
  if (effect !== "Allow" && effect !== "Deny") throw new PolicyRefusal(`Effect of ${at} must be Allow or Deny`);
  const optional = kind === "resource";
  return {
    index,
    sid,
    effect,
    principals: readPrincipals(value, at, kind),
    actions: readPatterns(value, "Action", at, optional, /^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/),
    resources: readPatterns(value, "Resource", at, optional, /^(\*|arn:.*)$/),
    conditions: readConditions(value["Condition"], at),
  };
}

function readPatterns(
  statement: JsonObject,
  element: string,
  at: string,
  optional: boolean,
  form: RegExp,
): PatternElement {
  const { [element]: plain, [`Not${element}`]: not } = statement;
  if (plain !== undefined && not !== undefined) throw new PolicyRefusal(`${at} has both ${element} and Not${element}`);
  const negated = not !== undefined;
  if (plain === undefined && !negated) {
    if (optional) return { negated, patterns: [] };
    throw new PolicyRefusal(`${at} has no ${element}`);
  }
  const patterns = listed(plain ?? not).map((value) => {
    if (typeof value !== "string" || !form.test(value)) throw new PolicyRefusal(`${element} of ${at} has another form`);
    return value;
  });
  if (patterns.length === 0) throw new PolicyRefusal(`${element} of ${at} is empty`);
  return { negated, patterns };
}

function readPrincipals(statement: JsonObject, at: string, kind: PolicyKind): PrincipalElement | undefined {
  const { Principal: plain, NotPrincipal: not } = statement;
  if (kind === "identity") {
    if (plain !== undefined || not !== undefined)
      throw new PolicyRefusal(`${at} names a principal: an identity policy's principal is whom it hangs on`);
    return undefined;
  }
  if ((plain === undefined) === (not === undefined)) throw invalidPrincipals();
  const patterns = readPrincipalMap(plain ?? not ?? null);
  if (patterns.length === 0) throw invalidPrincipals();
  return { negated: not !== undefined, patterns };
}

function readPrincipalMap(value: Json): readonly PrincipalPattern[] {
  if (value === "*") return [{ kind: "everyone" }];
  if (!isJsonObject(value)) throw invalidPrincipals();
  return Object.entries(value).flatMap(([type, names]) =>
    listed(names).map((name) => {
      if (typeof name !== "string" || name === "") throw invalidPrincipals();
      if (type === "Service") return { kind: "service", name } as const;
      if (type === "Federated") return { kind: "federated", name } as const;
      const pattern = type === "AWS" ? readAwsPrincipal(name) : undefined;
      if (!pattern) throw invalidPrincipals();
      return pattern;
    }),
  );
}

/** In AWS's words. */
export function invalidPrincipals(): PolicyRefusal {
  return new PolicyRefusal("Policy contains a statement with one or more invalid principals.");
}

function readConditions(block: Json | undefined, at: string): readonly Condition[] {
  if (block === undefined) return [];
  if (!isJsonObject(block)) throw new PolicyRefusal(`Condition of ${at} must be a JSON object`);
  return Object.entries(block).flatMap(([written, tests]) => {
    const operator = readOperator(written);
    if (!operator) throw new PolicyRefusal(`Condition of ${at}: ${written} is not an operator that mock mode knows`);
    if (!isJsonObject(tests)) throw new PolicyRefusal(`Condition of ${at}: ${written} must hold a JSON object`);
    return Object.entries(tests).map(([key, values]) => ({
      written,
      ...operator,
      key,
      values: readConditionValues(values, `Condition of ${at}: ${written} ${key}`),
    }));
  });
}

function readConditionValues(values: Json, at: string): readonly string[] {
  return listed(values).map((value) => {
    if (value === null || typeof value === "object") throw new PolicyRefusal(`${at} must hold texts`);
    return String(value);
  });
}

function listed(value: Json | undefined): readonly Json[] {
  if (value === undefined) return [];
  return isJsonArray(value) ? value : [value];
}

function assertKnown(object: JsonObject, known: readonly string[], at: string): void {
  for (const name of Object.keys(object))
    if (!known.includes(name)) throw new PolicyRefusal(`${name} is not an element of ${at}`);
}
