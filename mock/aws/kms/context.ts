/**
 * What a request says of itself to policies: the condition keys of KMS, of its keys and of AWS as a whole.
 *
 * A document that is not in the request leaves no `kms:RecipientAttestation` key behind, and neither does a register
 * that is not in the document: absent is not zero.
 *
 * Source: KMS Developer Guide, "Condition keys for AWS KMS", "Condition keys for AWS Nitro Enclaves"; IAM User Guide,
 * "AWS global condition context keys".
 *
 * @module
 */
import { toHex } from "../../../shared/bytes.ts";
import type { ConditionContext } from "../iam/condition.ts";
import { globalKeys, type KeyValues } from "../iam/global-keys.ts";
import type { ServiceCall } from "../service.ts";
import type { EncryptionContext } from "./ciphertext.ts";
import { type AttestedClaims, registerName } from "./recipient.ts";
import type { FamilyRow, KeyRow, KmsTables } from "./rows.ts";

/** What an operation adds to the request's context. */
export interface RequestFacts {
  readonly encryptionContext?: EncryptionContext | undefined;
  readonly claims?: AttestedClaims | undefined;
  /** Alias as the request wrote it, without an ARN's head. */
  readonly requestAlias?: string | undefined;
  readonly requestTags?: Readonly<Record<string, string>> | undefined;
  /** Of tags that go; for those in `requestTags` it needs none. */
  readonly tagKeys?: readonly string[] | undefined;
  /** Names without `kms:`, e.g. `EncryptionAlgorithm`; an absent value leaves no key. */
  readonly keys?: Readonly<Record<string, string | boolean | number | readonly string[] | undefined>>;
}

/** A key and what its policies can ask about it; before CreateKey made it, its planned attributes. */
export interface KeyAttributes
  extends Pick<KeyRow, "spec" | "usage" | "origin" | "multiRegion" | "region" | "tags">,
    Partial<Pick<KeyRow, "arn" | "accountId">> {}

/** What is asked about. */
export interface Subject {
  readonly action: string;
  readonly key?:
    | { readonly attributes: KeyAttributes; readonly family?: FamilyRow; readonly tables: KmsTables }
    | undefined;
  readonly facts: RequestFacts;
}

/** Actions that `kms:CallerAccount` and `kms:ViaService` say nothing about. */
const WITHOUT_CALLER = new Set(["GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants"]);

export function contextOf(call: ServiceCall, { action, key, facts }: Subject): ConditionContext {
  const pairs: KeyValues[] = [
    ...globalKeys(call, call.caller),
    ...(WITHOUT_CALLER.has(action) ? [] : kmsCallerPairs(call, action)),
    ...(key ? keyPairs(key.attributes, key.family) : []),
    ...(key?.attributes.arn === undefined ? [] : aliasPairs(key.tables, key.attributes.arn)),
    ["kms:RequestAlias", facts.requestAlias === undefined ? [] : [facts.requestAlias]],
    ...Object.entries(facts.keys ?? {}).map(([name, value]) => [`kms:${name}`, listed(value)] as const),
    ...encryptionContextPairs(facts.encryptionContext ?? {}),
    ...tagPairs("aws:RequestTag", facts.requestTags ?? {}),
    ["aws:TagKeys", facts.tagKeys ?? Object.keys(facts.requestTags ?? {})],
    ...attestationPairs(facts.claims),
  ];
  const context = new Map<string, readonly string[]>(call.caller.context);
  for (const [name, values] of pairs)
    if (values.length > 0) context.set(name.toLowerCase(), [...(context.get(name.toLowerCase()) ?? []), ...values]);
  return context;
}

function listed(value: string | boolean | number | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "object" ? value : [String(value)];
}

function kmsCallerPairs({ caller }: ServiceCall, action: string): readonly KeyValues[] {
  const { viaService } = caller;
  return [
    ["kms:CallerAccount", [caller.accountId]],
    ["kms:ViaService", viaService === undefined || action.includes("CustomKeyStore") ? [] : [viaService]],
  ];
}

function keyPairs(key: KeyAttributes, family?: FamilyRow): KeyValues[] {
  const { spec, usage, origin, multiRegion, region, tags, accountId } = key;
  const type = family === undefined || family.primaryRegion === region ? "PRIMARY" : "REPLICA";
  return [
    ["kms:KeySpec", [spec]],
    ["kms:CustomerMasterKeySpec", [spec]],
    ["kms:KeyUsage", [usage]],
    ["kms:CustomerMasterKeyUsage", [usage]],
    ["kms:KeyOrigin", [origin]],
    ["kms:MultiRegion", [String(multiRegion)]],
    ["kms:MultiRegionKeyType", multiRegion ? [type] : []],
    ["aws:ResourceAccount", accountId === undefined ? [] : [accountId]],
    ...tagPairs("aws:ResourceTag", tags),
  ];
}

function aliasPairs(tables: KmsTables, arn: string): readonly KeyValues[] {
  return [["kms:ResourceAliases", tables.aliases.findAll("key", arn).map(({ name }) => name)]];
}

function tagPairs(prefix: string, tags: Readonly<Record<string, string>>): KeyValues[] {
  return Object.entries(tags).map(([name, value]) => [`${prefix}/${name}`, [value]]);
}

function encryptionContextPairs(context: EncryptionContext): readonly KeyValues[] {
  return [
    ["kms:EncryptionContextKeys", Object.keys(context)],
    ...Object.entries(context).map(([name, value]) => [`kms:EncryptionContext:${name}`, [value]] as const),
  ];
}

function attestationPairs(claims: AttestedClaims | undefined): readonly KeyValues[] {
  if (!claims) return [];
  const registers = [...claims.pcrs].map(
    ([index, value]) => [`kms:RecipientAttestation:${registerName(claims, index)}`, [toHex(value)]] as const,
  );
  const image = claims.kind === "nsm" ? claims.pcrs.get(0) : undefined;
  return [...registers, ["kms:RecipientAttestation:ImageSha384", image ? [toHex(image)] : []]];
}
