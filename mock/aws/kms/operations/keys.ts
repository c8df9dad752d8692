/**
 * Making keys and showing them: CreateKey, DescribeKey, ListKeys, GetPublicKey, GetKeyLastUsage, UpdateKeyDescription.
 *
 * Source: KMS API Reference; recorded answers for the texts.
 *
 * @module
 */
import type {
  CreateKeyCommandInput,
  CreateKeyCommandOutput,
  DescribeKeyCommandInput,
  DescribeKeyCommandOutput,
  GetKeyLastUsageCommandInput,
  GetPublicKeyCommandInput,
  GetPublicKeyCommandOutput,
  ListKeysCommandInput,
  ListKeysCommandOutput,
  UpdateKeyDescriptionCommandInput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import {
  algorithmMembers,
  generateKeyMaterial,
  isAsymmetric,
  KEY_SPECS,
  type KeySpec,
  type KeyUsage,
  publicKeyOf,
} from "../algorithms/index.ts";
import { keyArn } from "../identifiers.ts";
import { metadataOf } from "../key-metadata.ts";
import { defaultKeyPolicy, readKeyPolicy } from "../key-policy.ts";
import { DELETING, type KeySituation, UNUSABLE } from "../key-state.ts";
import { inKeyStoreTurn } from "../key-store-connections.ts";
import type { NewKey } from "../keys.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest } from "../request.ts";
import type { KeyRow } from "../rows.ts";
import { readTags } from "../tags.ts";
import type { Answer, Valid } from "./operation.ts";
import { assertNotLockedOut } from "./policies.ts";

export async function createKey(
  request: KmsRequest,
  input: Valid<CreateKeyCommandInput>,
): Promise<Answer<CreateKeyCommandOutput>> {
  const { scope, keys, now, state } = request;
  const { Description: description = "", BypassPolicyLockoutSafetyCheck: bypasses = false } = input;
  const plan = planKey(input);
  const tags = readTags(input.Tags ?? []);
  request.audit.requestParameters = { ...request.audit.requestParameters, ...shownPlan(plan, description, bypasses) };
  const facts = { requestTags: tags, keys: { BypassPolicyLockoutSafetyCheck: bypasses } };
  const planned = { attributes: { ...plan, region: scope.region, tags: {} } };
  const keyId = state.newKeyId(plan.multiRegion);
  request.authorizeByIdentity("CreateKey", "*", facts, planned);
  if (input.Tags?.length)
    request.authorizeByIdentity("TagResource", keyArn(scope, keyId), { requestTags: tags }, planned);
  const policy = input.Policy ?? defaultKeyPolicy(scope);
  const parsed = readKeyPolicy(policy, state.directory);
  const form = { scope, now, description, policy, tags, keyId, manager: "CUSTOMER", ...plan } as const;
  if (input.Policy !== undefined && !bypasses) assertNotLockedOut(request, keys.draft(form), parsed);
  const make = () => makeKey(request, input, form);
  const { key } = await (input.CustomKeyStoreId === undefined ? make() : inKeyStoreTurn(request, make));
  return { KeyMetadata: metadataOf(keys, keys.situationOf(key), now) };
}

async function makeKey(
  request: KmsRequest,
  input: Valid<CreateKeyCommandInput>,
  form: NewKey & { readonly keyId: string },
): Promise<KeySituation> {
  const { keys, state, scope } = request;
  const { keyId, spec, origin } = form;
  keys.assertRoom(scope);
  const keyStore = await state.keyStores.prepareKey(request, { input, keyId });
  const material = origin === "EXTERNAL" ? undefined : await (state.keyPairs.take(spec) ?? generateKeyMaterial(spec));
  // Others may have been made meanwhile.
  keys.assertRoom(scope);
  const draft = keys.draft({ ...form, material, keyStore });
  keys.keep(draft);
  return request.use(draft);
}

type Plan = Pick<KeyRow, "spec" | "usage" | "origin" | "multiRegion">;

/** @throws {AwsFault} members that do not go together */
function planKey(input: Valid<CreateKeyCommandInput>): Plan {
  if (input.KeySpec !== undefined && input.CustomerMasterKeySpec !== undefined)
    throw validationFault(
      "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
    );
  // The SDK knows specs and usages that the model here, and so validation, does not.
  const spec = (input.KeySpec ?? input.CustomerMasterKeySpec ?? "SYMMETRIC_DEFAULT") as KeySpec;
  const { usages } = KEY_SPECS[spec];
  if (input.KeyUsage === undefined && spec !== "SYMMETRIC_DEFAULT")
    throw validationFault("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.");
  const usage = (input.KeyUsage ?? "ENCRYPT_DECRYPT") as KeyUsage;
  if (!usages.includes(usage)) throw validationFault(`KeyUsage ${usage} is not compatible with KeySpec ${spec}`);
  const { Origin: origin = "AWS_KMS", MultiRegion: multiRegion = false } = input;
  const isInStore = origin === "AWS_CLOUDHSM" || origin === "EXTERNAL_KEY_STORE";
  if (isInStore && (spec !== "SYMMETRIC_DEFAULT" || multiRegion))
    throw new AwsFault(
      "UnsupportedOperationException",
      "Custom key stores hold single-Region SYMMETRIC_DEFAULT keys only.",
    );
  return { spec, usage, origin, multiRegion };
}

function shownPlan({ spec, usage, origin, multiRegion }: Plan, description: string, bypasses: boolean): object {
  return {
    ...{ description, origin, multiRegion, keySpec: spec, customerMasterKeySpec: spec, keyUsage: usage },
    bypassPolicyLockoutSafetyCheck: bypasses,
  };
}

export function describeKey(
  request: KmsRequest,
  input: Valid<DescribeKeyCommandInput>,
): Answer<DescribeKeyCommandOutput> {
  const named = request.keyOrAlias(input.KeyId);
  request.authorize("DescribeKey", named, { grantTokens: input.GrantTokens });
  return { KeyMetadata: metadataOf(request.keys, named, request.now) };
}

export function listKeys(request: KmsRequest, input: Valid<ListKeysCommandInput>): Answer<ListKeysCommandOutput> {
  request.authorizeByIdentity("ListKeys", "*");
  const all = request.keys.inScope(request.scope, request.now);
  const { page, ...more } = paginate(all, input, { idOf: ({ key }) => key.arn, defaultLimit: 100 });
  return { Keys: page.map(({ key }) => ({ KeyId: key.keyId, KeyArn: key.arn })), ...more };
}

export function getPublicKey(
  request: KmsRequest,
  input: Valid<GetPublicKeyCommandInput>,
): Answer<GetPublicKeyCommandOutput> {
  const named = request.keyOrAlias(input.KeyId);
  const { key, family } = named;
  request.authorize("GetPublicKey", named, { grantTokens: input.GrantTokens });
  if (!isAsymmetric(key.spec))
    throw new AwsFault(
      "UnsupportedOperationException",
      `${key.arn} key spec is ${key.spec} which is not valid for GetPublicKey.`,
    );
  request.assertState(named, UNUSABLE);
  const [material] = family.materials;
  if (!material) throw new TypeError(`an enabled key without material: ${key.arn}`);
  return {
    KeyId: key.arn,
    PublicKey: publicKeyOf(key.spec, material.bytes),
    CustomerMasterKeySpec: key.spec as GetPublicKeyCommandOutput["CustomerMasterKeySpec"],
    KeySpec: key.spec,
    KeyUsage: key.usage,
    ...(algorithmMembers(key.spec, key.usage) as Partial<GetPublicKeyCommandOutput>),
  };
}

export function getKeyLastUsage(request: KmsRequest, input: Valid<GetKeyLastUsageCommandInput>): object {
  const named = request.key(input.KeyId);
  request.authorize("GetKeyLastUsage", named, { ownAccountOnly: true });
  const { key } = named;
  const use = request.state.usage.get(key.arn);
  return {
    KeyId: key.keyId,
    KeyCreationDate: key.createdAt,
    TrackingStartDate: key.createdAt,
    ...(use ? { KeyLastUsage: { Operation: use.operation, Timestamp: use.at, KmsRequestId: use.requestId } } : {}),
  };
}

export function updateKeyDescription(
  request: KmsRequest,
  input: Valid<UpdateKeyDescriptionCommandInput>,
): Record<never, never> {
  const named = request.key(input.KeyId);
  request.authorize("UpdateKeyDescription", named, { ownAccountOnly: true });
  request.assertState(named, DELETING);
  request.keys.update(named.key, { description: input.Description });
  return {};
}
