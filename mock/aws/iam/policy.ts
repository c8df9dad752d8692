/**
 * Reads a policy document into statements that can be evaluated, or says why it is not one.
 *
 * Without `Version` it is of 2008-10-17, where `${aws:username}` is a literal text. Stricter than AWS, so that a typing
 * error does not become a policy: a name must not stand twice, a list must not be empty, and a condition's values must be of the
 * operator's kind. A key policy's statement without Action or Resource is taken, as KMS does, and never matches.
 * More than 32 KB is refused unread, more than 32 levels while reading; the rest is linear in the text.
 *
 * Source: IAM User Guide, "Grammar of the IAM JSON policy language"; KMS Developer Guide, "Key policies".
 *
 * @module
 */
import { isJsonArray, isJsonObject, type Json, type JsonObject, parseJson } from "../json.ts";
import { acceptsValue, type Condition, readOperator } from "./condition.ts";
import { type PrincipalElement, type PrincipalPattern, readPrincipal } from "./principal.ts";

/** A policy as JSON. What is not in these shapes is refused when the policy is read. */
export interface PolicyDocument {
  /** 2008-10-17 if absent: no policy variables. */
  readonly Version?: "2012-10-17" | "2008-10-17";
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

export interface PolicyForm {
  readonly kind: PolicyKind;
  /** Tells the condition keys that a policy may use; any if absent, as IAM takes them in identity policies. */
  readonly knownConditionKeys?: (key: string) => boolean;
}

export interface PatternElement {
  readonly negated: boolean;
  /** None, and not negated: the statement never matches. */
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

const MAX_BYTES = 32_768;
const ELEMENTS = [
  "Sid",
  "Effect",
  "Principal",
  "NotPrincipal",
  "Action",
  "NotAction",
  "Resource",
  "NotResource",
  "Condition",
];

/** @throws {PolicyRefusal} not a policy of this form */
export function parsePolicy(text: string, form: PolicyKind | PolicyForm): Policy {
  const read = typeof form === "string" ? { kind: form } : form;
  if (text.length > MAX_BYTES || Buffer.byteLength(text) > MAX_BYTES)
    throw new PolicyRefusal(`the policy has more than ${MAX_BYTES} bytes`);
  const document = readDocument(text);
  assertKnown(document, ["Version", "Id", "Statement"], "the policy");
  const { Version: version = "2008-10-17" } = document;
  if (version !== "2012-10-17" && version !== "2008-10-17")
    throw new PolicyRefusal("Version must be 2012-10-17 or 2008-10-17");
  if (document["Id"] !== undefined && typeof document["Id"] !== "string") throw new PolicyRefusal("Id must be a text");
  const statements = listed(document["Statement"]);
  if (statements.length === 0) throw new PolicyRefusal("Statement must hold at least one statement");
  return {
    hasVariables: version === "2012-10-17",
    statements: statements.map((statement, index) => readStatement(statement, index, read)),
  };
}

function readDocument(text: string): JsonObject {
  let document: Json;
  try {
    document = parseJson(text);
  } catch (cause) {
    throw new PolicyRefusal("the policy is not JSON, too deep, or a name stands twice in it", { cause });
  }
  if (!isJsonObject(document)) throw new PolicyRefusal("the policy must be a JSON object");
  return document;
}

function readStatement(value: Json, index: number, { kind, knownConditionKeys }: PolicyForm): Statement {
  const at = `statement ${index}`;
  if (!isJsonObject(value)) throw new PolicyRefusal(`${at} must be a JSON object`);
  assertKnown(value, ELEMENTS, at);
  const { Sid: sid, Effect: effect } = value;
  if (sid !== undefined && typeof sid !== "string") throw new PolicyRefusal(`Sid of ${at} must be a text`);
  if (effect !== "Allow" && effect !== "Deny") throw new PolicyRefusal(`Effect of ${at} must be Allow or Deny`);
  const optional = kind === "resource";
  return {
    index,
    sid,
    effect,
    principals: readPrincipals(value, at, kind),
    actions: readPatterns(value, { at, optional, element: "Action", form: /^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/ }),
    resources: readPatterns(value, { at, optional, element: "Resource", form: /^(\*|arn:.*)$/ }),
    conditions: readConditions(value["Condition"], { at, isKnown: knownConditionKeys ?? (() => true) }),
  };
}

interface ElementForm {
  readonly element: "Action" | "Resource";
  readonly at: string;
  readonly optional: boolean;
  readonly form: RegExp;
}

function readPatterns(statement: JsonObject, { element, at, optional, form }: ElementForm): PatternElement {
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
      const pattern = typeof name === "string" ? readPrincipal(type, name) : undefined;
      if (!pattern) throw invalidPrincipals();
      return pattern;
    }),
  );
}

/** In AWS's words. */
export function invalidPrincipals(): PolicyRefusal {
  return new PolicyRefusal("Policy contains a statement with one or more invalid principals.");
}

interface ConditionForm {
  readonly at: string;
  readonly isKnown: (key: string) => boolean;
}

function readConditions(block: Json | undefined, { at, isKnown }: ConditionForm): readonly Condition[] {
  if (block === undefined) return [];
  if (!isJsonObject(block)) throw new PolicyRefusal(`Condition of ${at} must be a JSON object`);
  return Object.entries(block).flatMap(([written, tests]) => {
    const operator = readOperator(written);
    if (!operator) throw new PolicyRefusal(`Condition of ${at}: ${written} is not an operator`);
    if (!isJsonObject(tests)) throw new PolicyRefusal(`Condition of ${at}: ${written} must hold a JSON object`);
    return Object.entries(tests).map(([key, values]) => {
      if (!isKnown(key)) throw new PolicyRefusal(`Condition of ${at}: ${key} is not a condition key`);
      const accepts = (value: string): boolean => acceptsValue(operator.operator, value);
      return { written, ...operator, key, values: readConditionValues(values, { at, written, key, accepts }) };
    });
  });
}

interface ValueForm extends Pick<Condition, "written" | "key"> {
  readonly at: string;
  readonly accepts: (value: string) => boolean;
}

function readConditionValues(values: Json, { at, written, key, accepts }: ValueForm): readonly string[] {
  const texts = listed(values).map((value) => {
    if (value === null || typeof value === "object" || !accepts(String(value)))
      throw new PolicyRefusal(`Condition of ${at}: ${key} holds what ${written} can not compare`);
    return String(value);
  });
  if (texts.length === 0) throw new PolicyRefusal(`Condition of ${at}: ${key} has no values`);
  return texts;
}

function listed(value: Json | undefined): readonly Json[] {
  if (value === undefined) return [];
  return isJsonArray(value) ? value : [value];
}

function assertKnown(object: JsonObject, known: readonly string[], at: string): void {
  for (const name of Object.keys(object))
    if (!known.includes(name)) throw new PolicyRefusal(`${name} is not an element of ${at}`);
}
