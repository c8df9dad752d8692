/**
 * Which grants of a key hold for a request. A grant that holds allows as the key's own policy does.
 *
 * No grant can ask for attestation: KMS has no such constraint, so neither has this. A policy's explicit Deny is what
 * protects an attested key from grants.
 *
 * Source: KMS Developer Guide, "Grants in AWS KMS"; KMS API Reference, "GrantConstraints".
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { GrantConstraints, GrantOperation } from "@aws-sdk/client-kms";
import type { StatementReference } from "../iam/evaluate.ts";
import type { Caller } from "../iam/principal.ts";
import type { EncryptionContext } from "./ciphertext.ts";
import type { GrantRow, KeyRow, KmsTables } from "./rows.ts";

export interface GrantQuestion {
  readonly key: KeyRow;
  readonly caller: Caller;
  readonly action: string;
  readonly encryptionContext: EncryptionContext | undefined;
  readonly grantTokens: readonly string[];
  readonly sourceArn?: string | undefined;
  readonly now: Date;
}

/** A grant that holds, as the explanation names it. */
export interface HeldGrant {
  readonly reference: StatementReference;
  /** Given to the caller's whole account: its own policies must allow as well. */
  readonly isDelegated: boolean;
}

export function grantsThatHold(tables: KmsTables, question: GrantQuestion): readonly HeldGrant[] {
  const grants = tables.grants.findAll("key", question.key.arn);
  if (grants.length === 0) return [];
  const tokens = new Set(question.grantTokens.map(tokenDigest));
  return grants
    .filter((grant) => holds(grant, question, tokens))
    .map((grant) => ({
      reference: referenceTo(grant),
      isDelegated: isWholeAccount(grant.granteePrincipal) && question.caller.type !== "root",
    }));
}

export function referenceTo({ id, name }: GrantRow): StatementReference {
  return { policy: `grant ${name ?? id.slice(0, 12)}`, statement: 0, sid: id };
}

function holds(grant: GrantRow, question: GrantQuestion, tokens: ReadonlySet<string>): boolean {
  const { action, now, caller, key } = question;
  const isCurrent = grant.effectiveAt <= now || grant.tokens.some((token) => tokens.has(token));
  return (
    isCurrent &&
    grant.operations.includes(action as GrantOperation) &&
    isGrantee(grant.granteePrincipal, caller) &&
    constraintsHold(grant, key, question)
  );
}

/** A role's grant is for all its sessions; an account's or a root's, for the account's principals. */
export function isGrantee(principal: string, caller: Caller): boolean {
  if (caller.type === "service") return principal === caller.name;
  const root = `arn:${caller.partition}:iam::${caller.accountId}:root`;
  return [caller.arn, caller.principalArn, caller.accountId, root].includes(principal);
}

/** Whether a principal is an account: its number, or its root's ARN. */
export function isWholeAccount(principal: string): boolean {
  return /^\d{12}$|:root$/.test(principal);
}

/** Constraints are for cryptographic operations on symmetric keys, and for CreateGrant. */
const UNCONSTRAINED = ["DescribeKey", "RetireGrant", "GetPublicKey"];

function constraintsHold({ constraints }: GrantRow, key: KeyRow, question: GrantQuestion): boolean {
  if (!constraints || UNCONSTRAINED.includes(question.action)) return true;
  const { SourceArn: sourceArn } = constraints;
  if (sourceArn !== undefined && sourceArn !== question.sourceArn) return false;
  const isAsked = constraints.EncryptionContextEquals ?? constraints.EncryptionContextSubset;
  if (isAsked && key.spec !== "SYMMETRIC_DEFAULT") return false;
  // A delegated grant's constraints are compared where it is made.
  return question.action === "CreateGrant" || contextSatisfies(constraints, question.encryptionContext ?? {});
}

export function contextSatisfies(constraints: GrantConstraints, context: EncryptionContext): boolean {
  const { EncryptionContextEquals: equals, EncryptionContextSubset: subset } = constraints;
  if (equals && !(includesAll(context, equals) && includesAll(equals, context))) return false;
  return !subset || includesAll(context, subset);
}

function includesAll(context: EncryptionContext, wanted: EncryptionContext): boolean {
  return Object.entries(wanted).every(([name, value]) => Object.hasOwn(context, name) && context[name] === value);
}

/** Tokens are kept by digest: whoever reads the state can not use them. */
export function tokenDigest(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
