/**
 * The operations that make, show and govern keys: CreateKey, DescribeKey, Get- and PutKeyPolicy, Enable- and
 * DisableKey.
 *
 * A policy that would shut its own author out is refused, unless the request says that it may.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Default key policy", "Changing a key policy".
 *
 * @module
 */
import { AwsFault, validationFault } from "../fault.ts";
import { invalidPrincipals, type Policy, PolicyRefusal, parsePolicy } from "../iam/policy.ts";
import { principalArnOf } from "../iam/principal.ts";
import type { JsonObject } from "../json.ts";
import { decide } from "./access.ts";
import { type KmsKey, metadataOf } from "./keys.ts";
import type { KmsRequest } from "./request.ts";
import type { CreateKeyInput, DescribeKeyInput, GetKeyPolicyInput, KeyInput, PutKeyPolicyInput } from "./shapes.ts";

const POLICY_MAX_BYTES = 32_768;

export function createKey(request: KmsRequest, input: CreateKeyInput): JsonObject {
  const { call, audit, keys } = request;
  const bypasses = input.BypassPolicyLockoutSafetyCheck ?? false;
  const { KeyUsage: keyUsage = "ENCRYPT_DECRYPT", Description: description = "", Policy: text } = input;
  const keySpec = input.KeySpec ?? input.CustomerMasterKeySpec ?? "SYMMETRIC_DEFAULT";
  audit.requestParameters = {
    ...{ description, keyUsage, keySpec, origin: input.Origin ?? "AWS_KMS", multiRegion: input.MultiRegion ?? false },
    bypassPolicyLockoutSafetyCheck: bypasses,
    ...(text === undefined ? {} : { policy: text }),
  };
  assertOffered(input, keySpec, keyUsage);
  request.authorize("CreateKey", undefined, { bypassesLockoutCheck: bypasses });
  const { accountId } = call.caller;
  const policy = readKeyPolicy(request, text ?? defaultPolicy(accountId));
  const key = keys.create({ accountId, region: call.region, description, policy, now: call.now });
  if (text !== undefined && !bypasses && !mayChangePolicy(request, key, policy)) {
    keys.discard(key);
    throw lockedOut();
  }
  request.use(key);
  const answer = { KeyMetadata: metadataOf(key) };
  audit.responseElements = { keyMetadata: { aWSAccountId: accountId, keyId: key.keyId, arn: key.arn } };
  return answer;
}

/** This emulator has symmetric keys of its own making only, and says so rather than pretend. */
function assertOffered(input: CreateKeyInput, keySpec: string, keyUsage: string): void {
  if (keySpec !== "SYMMETRIC_DEFAULT")
    throw unsupported(`this mock KMS makes SYMMETRIC_DEFAULT keys only, not ${keySpec}`);
  if (keyUsage !== "ENCRYPT_DECRYPT")
    throw validationFault(`KeyUsage ${keyUsage} is not compatible with KeySpec SYMMETRIC_DEFAULT`);
  if (input.Origin !== undefined && input.Origin !== "AWS_KMS")
    throw unsupported(`this mock KMS has the origin AWS_KMS only, not ${input.Origin}`);
  if (input.MultiRegion) throw unsupported("this mock KMS has no multi-Region keys");
  if (input.CustomKeyStoreId !== undefined || input.XksKeyId !== undefined)
    throw unsupported("this mock KMS has no custom key stores");
  if (input.Tags !== undefined) throw unsupported("this mock KMS keeps no tags");
}

function unsupported(message: string): AwsFault {
  return new AwsFault("UnsupportedOperationException", message);
}

export function describeKey(request: KmsRequest, input: DescribeKeyInput): JsonObject {
  request.audit.requestParameters = { keyId: input.KeyId };
  request.refuseGrantTokens(input.GrantTokens);
  const key = request.resolve(input.KeyId);
  request.authorize("DescribeKey", key);
  return { KeyMetadata: metadataOf(key) };
}

export function getKeyPolicy(request: KmsRequest, input: GetKeyPolicyInput): JsonObject {
  const { KeyId: keyId, PolicyName: policyName = "default" } = input;
  request.audit.requestParameters = { keyId, policyName };
  const key = request.resolve(keyId);
  request.authorizeOwn("GetKeyPolicy", key);
  assertDefaultName(policyName);
  return { Policy: key.policy.text, PolicyName: policyName };
}

export function putKeyPolicy(request: KmsRequest, input: PutKeyPolicyInput): JsonObject {
  const { KeyId: keyId, PolicyName: policyName = "default", Policy: text } = input;
  const bypasses = input.BypassPolicyLockoutSafetyCheck ?? false;
  request.audit.requestParameters = { keyId, policyName, policy: text, bypassPolicyLockoutSafetyCheck: bypasses };
  const key = request.resolve(keyId);
  request.authorizeOwn("PutKeyPolicy", key, { bypassesLockoutCheck: bypasses });
  assertDefaultName(policyName);
  const policy = readKeyPolicy(request, text);
  if (!bypasses && !mayChangePolicy(request, key, policy)) throw lockedOut();
  key.policy = policy;
  return {};
}

export function enableKey(request: KmsRequest, input: KeyInput): JsonObject {
  return setEnabled(request, input, "EnableKey", true);
}

export function disableKey(request: KmsRequest, input: KeyInput): JsonObject {
  return setEnabled(request, input, "DisableKey", false);
}

function setEnabled(request: KmsRequest, input: KeyInput, action: string, isEnabled: boolean): JsonObject {
  request.audit.requestParameters = { keyId: input.KeyId };
  const key = request.resolve(input.KeyId);
  request.authorizeOwn(action, key);
  key.isEnabled = isEnabled;
  return {};
}

function assertDefaultName(policyName: string): void {
  if (policyName !== "default") throw new AwsFault("NotFoundException", "No such policy exists");
}

function defaultPolicy(accountId: string): string {
  const statement = {
    Sid: "Enable IAM User Permissions",
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${accountId}:root` },
    Action: "kms:*",
    Resource: "*",
  };
  return JSON.stringify({ Version: "2012-10-17", Id: "key-default-1", Statement: [statement] });
}

function readKeyPolicy({ directory }: KmsRequest, text: string): KmsKey["policy"] {
  try {
    if (Buffer.byteLength(text) > POLICY_MAX_BYTES)
      throw new PolicyRefusal(`the policy has more than ${POLICY_MAX_BYTES} bytes`);
    const policy = parsePolicy(text, "resource");
    if (
      !principalsOf(policy).every(({ arn, accountId }) =>
        arn ? directory.hasPrincipal(arn) : directory.hasAccount(accountId),
      )
    )
      throw invalidPrincipals();
    return { text, policy };
  } catch (cause) {
    if (cause instanceof PolicyRefusal) throw malformed(cause.message);
    throw cause;
  }
}

/** KMS keeps a principal by its unique id, so whoever is named must exist. */
function principalsOf({ statements }: Policy): readonly { readonly arn?: string; readonly accountId: string }[] {
  const patterns = statements.flatMap(({ principals }) => principals?.patterns ?? []);
  return patterns.flatMap((pattern) => {
    if (pattern.kind === "account") return [{ accountId: pattern.accountId }];
    return pattern.kind === "arn" ? [{ arn: principalArnOf(pattern.arn), accountId: "" }] : [];
  });
}

function mayChangePolicy(request: KmsRequest, key: KmsKey, policy: KmsKey["policy"]): boolean {
  const facts = { bypassesLockoutCheck: false };
  return decide(request.call, "PutKeyPolicy", key, facts, policy).outcome === "allowed";
}

function lockedOut(): AwsFault {
  return malformed("The new key policy will not allow you to update the key policy in the future.");
}

function malformed(message: string): AwsFault {
  return new AwsFault("MalformedPolicyDocumentException", message);
}
