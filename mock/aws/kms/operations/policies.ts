/**
 * GetKeyPolicy, PutKeyPolicy, ListKeyPolicies.
 *
 * A policy that would shut its own author out is refused, unless the request says that it may.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Changing a key policy".
 *
 * @module
 */
import type {
  GetKeyPolicyCommandInput,
  GetKeyPolicyCommandOutput,
  ListKeyPoliciesCommandInput,
  ListKeyPoliciesCommandOutput,
  PutKeyPolicyCommandInput,
} from "@aws-sdk/client-kms";
import type { Policy } from "../../iam/policy.ts";
import { notFound } from "../identifiers.ts";
import { lockedOut, readKeyPolicy } from "../key-policy.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import { assertCustomerManaged } from "./key-states.ts";
import type { Answer, Valid } from "./operation.ts";

export function getKeyPolicy(
  request: KmsRequest,
  { KeyId: keyId, PolicyName: name = "default" }: Valid<GetKeyPolicyCommandInput>,
): Answer<GetKeyPolicyCommandOutput> {
  const named = request.key(keyId);
  request.authorize("GetKeyPolicy", named, { ownAccountOnly: true });
  assertDefaultName(name);
  return { Policy: named.key.policy, PolicyName: name };
}

export function putKeyPolicy(request: KmsRequest, input: Valid<PutKeyPolicyCommandInput>): Record<never, never> {
  const { KeyId: keyId, PolicyName: name = "default", Policy: policy } = input;
  const bypasses = input.BypassPolicyLockoutSafetyCheck ?? false;
  const named = request.key(keyId);
  request.authorize("PutKeyPolicy", named, {
    ownAccountOnly: true,
    keys: { BypassPolicyLockoutSafetyCheck: bypasses },
  });
  assertDefaultName(name);
  assertCustomerManaged(named, "PutKeyPolicy");
  const parsed = readKeyPolicy(policy, request.state.directory);
  if (!bypasses) assertNotLockedOut(request, named, parsed);
  request.keys.update(named.key, { policy });
  return {};
}

export function listKeyPolicies(
  request: KmsRequest,
  input: Valid<ListKeyPoliciesCommandInput>,
): Answer<ListKeyPoliciesCommandOutput> {
  const named = request.key(input.KeyId);
  request.authorize("ListKeyPolicies", named, { ownAccountOnly: true });
  const { page, ...more } = paginate(["default"], input, { idOf: (name) => name, defaultLimit: 100 });
  return { PolicyNames: [...page], ...more };
}

/** The caller must be able to change the policy again. @throws {AwsFault} `MalformedPolicyDocumentException` */
export function assertNotLockedOut(request: KmsRequest, named: NamedKey, policy: Policy): void {
  const facts = { policy, keys: { BypassPolicyLockoutSafetyCheck: false } };
  if (request.decide("PutKeyPolicy", named, facts).outcome !== "allowed") throw lockedOut();
}

function assertDefaultName(name: string): void {
  if (name !== "default") throw notFound("No such policy exists");
}
