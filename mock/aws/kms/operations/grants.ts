/**
 * CreateGrant, RetireGrant, RevokeGrant, ListGrants, ListRetirableGrants.
 *
 * A grantee that may make grants passes on no more than it has: a subset of the operations, under the same constraints
 * or stricter ones.
 *
 * Source: KMS Developer Guide, "Grants in AWS KMS", "Creating grants", "Retiring and revoking grants".
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type {
  CreateGrantCommandInput,
  CreateGrantCommandOutput,
  GrantListEntry,
  ListGrantsCommandInput,
  ListGrantsCommandOutput,
  ListRetirableGrantsCommandInput,
  ListRetirableGrantsCommandOutput,
  RetireGrantCommandInput,
  RevokeGrantCommandInput,
} from "@aws-sdk/client-kms";
import { toHex } from "../../../../shared/bytes.ts";
import { AwsFault, validationFault } from "../../fault.ts";
import { summarize } from "../../iam/explain.ts";
import { decideByIdentity } from "../authorization.ts";
import {
  constraintTypes,
  invalidPrincipal,
  isByService,
  isPrincipal,
  isService,
  newGrantFrom,
  sameGrant,
} from "../grant-request.ts";
import { isGrantee, isWholeAccount, referenceTo, tokenDigest } from "../grants.ts";
import { accountOf } from "../identifiers.ts";
import { paginate } from "../pages.ts";
import { endDryRun, type KmsRequest, type NamedKey } from "../request.ts";
import type { GrantRow } from "../rows.ts";
import type { Answer, Valid } from "./operation.ts";

const TOKENS_MAX = 10;

export function createGrant(
  request: KmsRequest,
  input: Valid<CreateGrantCommandInput>,
): Answer<CreateGrantCommandOutput> {
  const named = request.key(input.KeyId);
  const grant = newGrantFrom(request, named, input);
  endDryRun(input);
  const { grants } = request.tables;
  const token = randomBytes(96).toString("base64");
  const same = grant.name === undefined ? undefined : ofKey(request, named).find((row) => sameGrant(row, grant));
  const id = same?.id ?? toHex(randomBytes(32));
  const kept = same ?? { ...grant, id };
  grants.set(id, { ...kept, tokens: [tokenDigest(token), ...kept.tokens].slice(0, TOKENS_MAX) });
  return { GrantToken: token, GrantId: id };
}

export function retireGrant(request: KmsRequest, input: Valid<RetireGrantCommandInput>): Record<never, never> {
  const { named, grant } = grantToRetire(request, input);
  assertMayRetire(request, named, grant);
  endDryRun(input);
  request.tables.grants.delete(grant.id);
  return {};
}

function grantToRetire(
  request: KmsRequest,
  { GrantToken: token, KeyId: keyId, GrantId: grantId }: Valid<RetireGrantCommandInput>,
): { readonly named: NamedKey; readonly grant: GrantRow } {
  const { grants } = request.tables;
  if (token !== undefined && keyId === undefined && grantId === undefined) {
    const grant = grants.find("token", tokenDigest(token));
    if (!grant) throw new AwsFault("InvalidGrantTokenException");
    return { grant, named: request.key(grant.keyArn) };
  }
  if (token !== undefined || keyId === undefined || grantId === undefined)
    throw validationFault("Please specify either GrantToken or both KeyId and GrantId.");
  const named = request.key(keyId);
  const grant = grants.get(grantId);
  if (grant?.keyArn === named.key.arn) return { named, grant };
  // Whether another account's key has such a grant is not for everybody to know.
  if (named.key.accountId !== request.scope.accountId) throw request.deniedOn("RetireGrant", named, "");
  throw new AwsFault("InvalidGrantIdException");
}

/** The grant decides, and the account that issued it, by its identity policies; an explicit Deny holds for all. */
function assertMayRetire(request: KmsRequest, named: NamedKey, grant: GrantRow): void {
  const { caller } = request.call;
  const { constraints } = grant;
  const asked = {
    encryptionContext: constraints?.EncryptionContextEquals ?? constraints?.EncryptionContextSubset,
    keys: { GrantConstraintType: constraintTypes(constraints) },
    withoutGrants: true,
  };
  const decision = request.decide("RetireGrant", named, asked);
  request.audit.decision = decision;
  const { outcome } = decideByIdentity(request, "RetireGrant", named.key.arn, { facts: asked });
  const speaksForAccount = outcome === "allowed" || caller.type === "root";
  const isMeant = (principal: string | undefined): boolean =>
    principal !== undefined && isGrantee(principal, caller) && (!isWholeAccount(principal) || speaksForAccount);
  const mayRetire =
    isMeant(grant.retiringPrincipal) ||
    (grant.operations.includes("RetireGrant") && isMeant(grant.granteePrincipal)) ||
    (accountOf(grant.issuingAccount) === caller.accountId && speaksForAccount);
  if (decision.outcome === "explicit deny" || !mayRetire)
    throw request.deniedOn("RetireGrant", named, decision.because || "because the grant does not allow it");
  const facts = { outcome: "allowed", because: "", decidedBy: [referenceTo(grant)] } as const;
  request.audit.decision = { ...facts, summary: summarize(facts) };
}

export function revokeGrant(request: KmsRequest, input: Valid<RevokeGrantCommandInput>): Record<never, never> {
  const named = request.key(input.KeyId);
  const grant = request.tables.grants.get(input.GrantId);
  request.authorize("RevokeGrant", named, { keys: { GrantIsForAWSResource: isByService(request) } });
  const { id } = existing(grant, named);
  endDryRun(input);
  request.tables.grants.delete(id);
  return {};
}

export function listGrants(request: KmsRequest, input: Valid<ListGrantsCommandInput>): Answer<ListGrantsCommandOutput> {
  const { GrantId: id, GranteePrincipal: grantee } = input;
  const named = request.key(input.KeyId);
  request.authorize("ListGrants", named, { keys: { GrantIsForAWSResource: isByService(request) } });
  const all = ofKey(request, named).filter(
    (grant) => (id === undefined || grant.id === id) && (grantee === undefined || grant.granteePrincipal === grantee),
  );
  const { page, ...more } = paginate(all, input, PAGES);
  return { Grants: page.map(entryOf), ...more };
}

export function listRetirableGrants(
  request: KmsRequest,
  input: Valid<ListRetirableGrantsCommandInput>,
): Answer<ListRetirableGrantsCommandOutput> {
  request.authorizeByIdentity("ListRetirableGrants", "*");
  const { keys, now, scope, call } = request;
  const { RetiringPrincipal: retiring, RetiringServicePrincipal: service } = input;
  const principal = retiring ?? service;
  if (principal === undefined || (retiring !== undefined && service !== undefined))
    throw validationFault("Please specify either RetiringPrincipal or RetiringServicePrincipal.");
  const isOwn = service === undefined ? isOf(scope.accountId, principal) : service === call.caller.name;
  if (retiring !== undefined && !isPrincipal(retiring)) throw invalidPrincipal(retiring);
  const all = request.tables.grants
    .findAll("retiringPrincipal", principal)
    .filter(({ keyArn }) => isOwn && keys.find(keyArn, now)?.key.region === scope.region);
  const { page, ...more } = paginate(all, input, PAGES);
  return { Grants: page.map(entryOf), ...more };
}

const PAGES = { idOf: ({ id }: GrantRow): string => id, defaultLimit: 50, maxLimit: 100 };

/** One lists what one's own account's principals can retire. */
function isOf(accountId: string, principal: string): boolean {
  return principal === accountId || principal.split(":")[4] === accountId;
}

function ofKey({ tables }: KmsRequest, { key }: NamedKey): readonly GrantRow[] {
  return tables.grants.findAll("key", key.arn);
}

function existing(grant: GrantRow | undefined, { key }: Pick<NamedKey, "key">): GrantRow {
  if (!grant || grant.keyArn !== key.arn) throw new AwsFault("InvalidGrantIdException");
  return grant;
}

function entryOf(grant: GrantRow): GrantListEntry {
  const { keyArn, id, name, granteePrincipal, retiringPrincipal, operations, constraints } = grant;
  const services = {
    ...(isService(granteePrincipal) ? { GranteeServicePrincipal: granteePrincipal } : {}),
    ...(retiringPrincipal !== undefined && isService(retiringPrincipal)
      ? { RetiringServicePrincipal: retiringPrincipal }
      : {}),
  };
  return {
    KeyId: keyArn,
    GrantId: id,
    Name: name ?? "",
    CreationDate: grant.createdAt,
    GranteePrincipal: granteePrincipal,
    ...(retiringPrincipal === undefined ? {} : { RetiringPrincipal: retiringPrincipal }),
    ...services,
    IssuingAccount: grant.issuingAccount,
    Operations: [...operations],
    ...(constraints ? { Constraints: constraints } : {}),
  };
}
