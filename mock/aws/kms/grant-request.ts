/**
 * Decides whether a grant may be made, and makes its row: authorization, principals, operations that fit the key,
 * constraints, and what a grantee may pass on. That names in a constraint are no longer than its values may be is our
 * limit: AWS names none but that of a whole context.
 *
 * Source: KMS API Reference, CreateGrant, GrantConstraints; KMS Developer Guide, "Delegating permission to create
 * grants".
 *
 * @module
 */
import type { CreateGrantCommandInput, GrantConstraints, GrantOperation } from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../fault.ts";
import { readPrincipal } from "../iam/principal.ts";
import { isAsymmetric } from "./algorithms/index.ts";
import type { AuthorizationOptions } from "./authorization.ts";
import { contextSatisfies } from "./grants.ts";
import { isThere } from "./key-policy.ts";
import { UNUSABLE } from "./key-state.ts";
import type { Valid } from "./operations/operation.ts";
import type { KmsRequest, NamedKey } from "./request.ts";
import type { GrantRow, KeyRow } from "./rows.ts";

const CONTEXT_PAIRS_MAX = 8;
const CONTEXT_TEXT_MAX = 384;
const GRANTS_OF_KEY_MAX = 50_000;
const ALWAYS: readonly GrantOperation[] = ["CreateGrant", "RetireGrant", "DescribeKey"];
const BY_KIND: Readonly<Record<string, readonly GrantOperation[]>> = {
  symmetric: [
    ...["Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey"],
    ...["GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"],
  ] as GrantOperation[],
  ENCRYPT_DECRYPT: ["Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"],
  SIGN_VERIFY: ["Sign", "Verify", "GetPublicKey"],
  KEY_AGREEMENT: ["DeriveSharedSecret", "GetPublicKey"],
  GENERATE_VERIFY_MAC: ["GenerateMac", "VerifyMac"],
};
/** Not usable for grants: creating and updating keys have theirs. */
const REFUSED = UNUSABLE.filter((state) => state !== "Unavailable");

export function newGrantFrom(request: KmsRequest, named: NamedKey, input: Valid<CreateGrantCommandInput>): GrantRow {
  const { grantee, retiring } = principalsOf(input);
  const { Operations: operations, Constraints: constraints } = input;
  const facts = {
    grantTokens: input.GrantTokens,
    encryptionContext: constraints?.EncryptionContextEquals ?? constraints?.EncryptionContextSubset,
    keys: {
      GrantIsForAWSResource: isByService(request),
      GrantOperations: operations,
      GranteePrincipal: input.GranteePrincipal,
      GranteeServicePrincipal: input.GranteeServicePrincipal,
      RetiringPrincipal: input.RetiringPrincipal,
      RetiringServicePrincipal: input.RetiringServicePrincipal,
      GrantConstraintType: constraintTypes(constraints),
      GrantConstraintSourceArn: constraints?.SourceArn,
    },
  };
  request.authorize("CreateGrant", named, facts);
  assertPrincipals(request, [grantee, ...(retiring === undefined ? [] : [retiring])]);
  assertOperations(named.key, operations);
  assertConstraints(named.key, constraints);
  assertDelegable(request, named, { operations, constraints, facts });
  request.assertState(named, REFUSED);
  if (request.tables.grants.findAll("key", named.key.arn).length >= GRANTS_OF_KEY_MAX)
    throw new AwsFault("LimitExceededException");
  const { now, state } = request;
  return {
    id: "",
    keyArn: named.key.arn,
    ...(input.Name === undefined ? {} : { name: input.Name }),
    granteePrincipal: grantee,
    ...(retiring === undefined ? {} : { retiringPrincipal: retiring }),
    operations: [...operations],
    ...(constraints ? { constraints } : {}),
    issuingAccount: `arn:${request.scope.partition}:iam::${request.scope.accountId}:root`,
    createdAt: now,
    effectiveAt: new Date(now.getTime() + state.settings.grantPropagationMs),
    tokens: [],
  };
}

/** The same request again, by its name. */
export function sameGrant(row: GrantRow, other: GrantRow): boolean {
  const pairs = (context: Record<string, string> | undefined): unknown => context && Object.entries(context).sort();
  const facts = ({ name, granteePrincipal, retiringPrincipal, operations, constraints = {} }: GrantRow): string => {
    const { EncryptionContextEquals: equals, EncryptionContextSubset: subset, SourceArn: sourceArn } = constraints;
    const limits = [pairs(equals), pairs(subset), sourceArn];
    return JSON.stringify([name, granteePrincipal, retiringPrincipal, [...new Set(operations)].sort(), limits]);
  };
  return row.issuingAccount === other.issuingAccount && facts(row) === facts(other);
}

/** Whether a service asks, by itself or on somebody's behalf: what `kms:GrantIsForAWSResource` says. */
export function isByService({ call: { caller } }: KmsRequest): boolean {
  return caller.viaService !== undefined || caller.type === "service";
}

/** A service principal that is named as one brings a SourceArn along, and who may retire. */
function principalsOf(input: Valid<CreateGrantCommandInput>): { grantee: string; retiring: string | undefined } {
  const { GranteePrincipal: principal, GranteeServicePrincipal: service, Constraints: constraints } = input;
  const { RetiringPrincipal: retiringPrincipal, RetiringServicePrincipal: retiringService } = input;
  const grantee = principal ?? service;
  if (grantee === undefined || (principal !== undefined && service !== undefined))
    throw validationFault("Please specify either GranteePrincipal or GranteeServicePrincipal.");
  if (retiringPrincipal !== undefined && retiringService !== undefined)
    throw validationFault("Please specify either RetiringPrincipal or RetiringServicePrincipal.");
  const retiring = retiringPrincipal ?? retiringService;
  if (service !== undefined && (constraints?.SourceArn === undefined || retiring === undefined))
    throw validationFault("GranteeServicePrincipal needs the constraint SourceArn, and a retiring principal.");
  return { grantee, retiring };
}

export function constraintTypes(constraints: GrantConstraints | undefined): readonly string[] {
  return ["EncryptionContextEquals", "EncryptionContextSubset", "SourceArn"].filter(
    (type) => constraints?.[type as keyof GrantConstraints] !== undefined,
  );
}

function assertPrincipals({ state: { directory } }: KmsRequest, principals: readonly string[]): void {
  for (const text of principals) {
    const pattern = readPrincipal("AWS", text);
    const isKnown = isService(text) || (pattern && isPrincipal(text) && isThere(pattern, directory));
    if (!isKnown) throw invalidPrincipal(text);
  }
}

export function isService(text: string): boolean {
  return readPrincipal("Service", text) !== undefined;
}

/** An ARN of a user, role, session, federated user or account, or an account's number. */
export function isPrincipal(text: string): boolean {
  const kind = readPrincipal("AWS", text)?.kind;
  return kind === "arn" || kind === "account";
}

export function invalidPrincipal(text: string): AwsFault {
  return new AwsFault("InvalidArnException", `Invalid principal: ${text}`);
}

function assertOperations({ spec, usage }: KeyRow, operations: readonly GrantOperation[]): void {
  const fitting = spec === "SYMMETRIC_DEFAULT" ? BY_KIND["symmetric"] : BY_KIND[usage];
  if (operations.length === 0) throw validationFault("Operations must hold at least one operation.");
  for (const operation of operations)
    if (!ALWAYS.includes(operation) && !fitting?.includes(operation))
      throw validationFault(`Grant operation ${operation} is not valid for a key of spec ${spec} and usage ${usage}.`);
}

function assertConstraints({ spec }: KeyRow, constraints: GrantConstraints | undefined): void {
  const { EncryptionContextEquals: equals, EncryptionContextSubset: subset } = constraints ?? {};
  if (equals && subset)
    throw validationFault("Please specify either EncryptionContextEquals or EncryptionContextSubset.");
  const context = equals ?? subset;
  if (!context) return;
  if (isAsymmetric(spec) || spec.startsWith("HMAC"))
    throw validationFault("Encryption context constraints are only valid for symmetric encryption keys.");
  const pairs = Object.entries(context);
  if (pairs.length > CONTEXT_PAIRS_MAX || pairs.flat().some((text) => text.length > CONTEXT_TEXT_MAX))
    throw validationFault(
      `An encryption context constraint has at most ${CONTEXT_PAIRS_MAX} pairs, and names and values of ${CONTEXT_TEXT_MAX} characters.`,
    );
}

/** Whoever makes a grant by a grant alone gives at most what that grant gives, under no weaker constraints. */
function assertDelegable(
  request: KmsRequest,
  named: NamedKey,
  child: {
    readonly operations: readonly GrantOperation[];
    readonly constraints: GrantConstraints | undefined;
    readonly facts: AuthorizationOptions;
  },
): void {
  if (request.decide("CreateGrant", named, { ...child.facts, withoutGrants: true }).outcome === "allowed") return;
  const grantIds = request.audit.decision?.decidedBy.map(({ sid }) => sid);
  const parents = request.tables.grants.findAll("key", named.key.arn).filter(({ id }) => grantIds?.includes(id));
  const isCovered = parents.some(
    ({ operations, constraints }) =>
      child.operations.every((operation) => operations.includes(operation)) &&
      isAsStrict(child.constraints, constraints),
  );
  if (!isCovered)
    throw request.deniedOn("CreateGrant", named, "because the grant that allows it does not cover the new grant");
}

function isAsStrict(child: GrantConstraints | undefined, parent: GrantConstraints | undefined): boolean {
  if (!parent) return true;
  if (parent.SourceArn !== undefined && child?.SourceArn !== parent.SourceArn) return false;
  if (!parent.EncryptionContextEquals && !parent.EncryptionContextSubset) return true;
  if (parent.EncryptionContextEquals && !child?.EncryptionContextEquals) return false;
  const context = child?.EncryptionContextEquals ?? child?.EncryptionContextSubset;
  return context !== undefined && contextSatisfies(parent, context);
}
