/**
 * Decides whether a caller may use a KMS key, and gathers what its policies can ask about the request.
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
import { AwsFault } from "../fault.ts";
import { authorize, type Decision } from "../iam/authorize.ts";
import type { ConditionContext } from "../iam/condition.ts";
import type { ServiceCall } from "../service.ts";
import type { EncryptionContext } from "./ciphertext.ts";
import type { KmsKey } from "./keys.ts";
import { type AttestedClaims, registerName } from "./recipient.ts";

/** What an operation adds to the request's context. */
export interface RequestFacts {
  readonly encryptionContext?: EncryptionContext;
  readonly isCryptographic?: boolean;
  readonly claims?: AttestedClaims;
  readonly bypassesLockoutCheck?: boolean;
}

/** Evaluates without throwing; `policy` is the key's own unless another is tried on. */
export function decide(
  call: ServiceCall,
  action: string,
  key: KmsKey | undefined,
  facts: RequestFacts,
  policy: KmsKey["policy"] | undefined = key?.policy,
): Decision {
  const request = {
    caller: call.caller,
    action: `kms:${action}`,
    resource: key?.arn ?? "*",
    context: contextOf(call, facts),
  };
  const keyPolicy = key && policy && { name: "key policy", policy: policy.policy, accountId: key.accountId };
  return authorize(request, call.caller.identityPolicies, keyPolicy);
}

/** AWS's words for a denial. */
export function accessDenied(call: ServiceCall, action: string, key: KmsKey | undefined, because: string): AwsFault {
  const on = key ? ` on resource: ${key.arn}` : "";
  const message = `User: ${call.caller.arn} is not authorized to perform: kms:${action}${on} ${because}`;
  return new AwsFault("AccessDeniedException", message);
}

function contextOf(call: ServiceCall, facts: RequestFacts): ConditionContext {
  const { caller, now } = call;
  const pairs: (readonly [string, readonly string[]])[] = [
    ["aws:PrincipalArn", [caller.principalArn]],
    ["aws:PrincipalAccount", [caller.accountId]],
    ["aws:PrincipalType", [caller.type === "role" ? "AssumedRole" : "User"]],
    ["aws:username", caller.type === "user" ? [caller.name] : []],
    ["aws:SecureTransport", ["true"]],
    ["aws:CurrentTime", [now.toISOString()]],
    ["aws:EpochTime", [String(Math.floor(now.getTime() / 1000))]],
    ["aws:RequestedRegion", [call.region]],
    ["aws:UserAgent", [call.connection.userAgent]],
    ["kms:CallerAccount", [caller.accountId]],
    ["kms:KeySpec", ["SYMMETRIC_DEFAULT"]],
    ["kms:CustomerMasterKeySpec", ["SYMMETRIC_DEFAULT"]],
    ["kms:KeyUsage", ["ENCRYPT_DECRYPT"]],
    ["kms:CustomerMasterKeyUsage", ["ENCRYPT_DECRYPT"]],
    ["kms:KeyOrigin", ["AWS_KMS"]],
    ["kms:MultiRegion", ["false"]],
    ["kms:EncryptionAlgorithm", facts.isCryptographic ? ["SYMMETRIC_DEFAULT"] : []],
    [
      "kms:BypassPolicyLockoutSafetyCheck",
      facts.bypassesLockoutCheck === undefined ? [] : [String(facts.bypassesLockoutCheck)],
    ],
    ...encryptionContextPairs(facts.encryptionContext ?? {}),
    ...attestationPairs(facts.claims),
  ];
  const context = new Map<string, readonly string[]>();
  for (const [key, values] of pairs)
    if (values.length > 0) context.set(key.toLowerCase(), [...(context.get(key.toLowerCase()) ?? []), ...values]);
  return context;
}

function encryptionContextPairs(context: EncryptionContext): readonly (readonly [string, readonly string[]])[] {
  return [
    ["kms:EncryptionContextKeys", Object.keys(context)],
    ...Object.entries(context).map(([name, value]) => [`kms:EncryptionContext:${name}`, [value]] as const),
  ];
}

function attestationPairs(claims: AttestedClaims | undefined): readonly (readonly [string, readonly string[]])[] {
  if (!claims) return [];
  const registers = [...claims.pcrs].map(
    ([index, value]) => [`kms:RecipientAttestation:${registerName(claims, index)}`, [toHex(value)]] as const,
  );
  const image = claims.kind === "nsm" ? claims.pcrs.get(0) : undefined;
  return [...registers, ["kms:RecipientAttestation:ImageSha384", image ? [toHex(image)] : []]];
}
