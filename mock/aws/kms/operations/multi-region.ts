/**
 * ReplicateKey, UpdatePrimaryRegion.
 *
 *   shared        key id, material, spec, usage, origin, rotation
 *   independent   policy, grants, tags, aliases, state, description
 *
 * Source: KMS Developer Guide, "Multi-Region keys in AWS KMS".
 *
 * @module
 */
import type {
  ReplicateKeyCommandInput,
  ReplicateKeyCommandOutput,
  UpdatePrimaryRegionCommandInput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import { partitionOf } from "../../partition.ts";
import { keyArn, keyNotFound } from "../identifiers.ts";
import { metadataOf } from "../key-metadata.ts";
import { defaultKeyPolicy, readKeyPolicy } from "../key-policy.ts";
import { UNUSABLE } from "../key-state.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import type { KeyRow } from "../rows.ts";
import { readTags } from "../tags.ts";
import type { Answer, Valid } from "./operation.ts";
import { assertNotLockedOut } from "./policies.ts";
import { notPrimary } from "./rotation.ts";

export function replicateKey(
  request: KmsRequest,
  input: Valid<ReplicateKeyCommandInput>,
): Answer<ReplicateKeyCommandOutput> {
  const { ReplicaRegion: region, Description: description = "", Policy: given } = input;
  const bypasses = input.BypassPolicyLockoutSafetyCheck ?? false;
  const primary = request.key(input.KeyId);
  request.authorize("ReplicateKey", primary, { ownAccountOnly: true, keys: { ReplicaRegion: region } });
  assertPrimary(primary);
  request.assertState(primary, [...UNUSABLE, "Updating"]);
  assertRegion(request, region);
  const scope = { ...request.scope, region };
  const arn = keyArn(scope, primary.key.keyId);
  if (request.keys.find(arn, request.now)) throw new AwsFault("AlreadyExistsException", `${arn} already exists.`);
  const tags = readTags(input.Tags ?? []);
  const policy = given ?? defaultKeyPolicy(scope);
  const parsed = readKeyPolicy(policy, request.state.directory);
  const replica = replicaOf(request, primary.key, { arn, region, policy, description, tags });
  const facts = { requestTags: tags, keys: { BypassPolicyLockoutSafetyCheck: bypasses } };
  const situation = { key: replica, family: primary.family };
  const planned = { attributes: { ...replica, tags: {} }, family: primary.family, region };
  request.authorizeByIdentity("CreateKey", "*", facts, planned);
  if (input.Tags?.length) request.authorizeByIdentity("TagResource", arn, { requestTags: tags }, planned);
  if (given !== undefined && !bypasses) assertNotLockedOut(request, situation, parsed);
  request.keys.assertRoom(scope);
  request.tables.keys.set(arn, replica);
  // The answer tells of a key that is being made, however short that takes.
  const creating = {
    ...replica,
    creatingUntil: new Date(Math.max(replica.creatingUntil?.getTime() ?? 0, request.now.getTime() + 1)),
  };
  return {
    ReplicaKeyMetadata: metadataOf(request.keys, { ...situation, key: creating }, request.now),
    ReplicaPolicy: policy,
    ...(input.Tags ? { ReplicaTags: [...input.Tags] } : {}),
  };
}

function replicaOf(
  { now, state }: KmsRequest,
  primary: KeyRow,
  own: Pick<KeyRow, "arn" | "region" | "policy" | "description" | "tags">,
): KeyRow {
  const { partition, accountId, keyId, familyId, spec, usage, origin } = primary;
  return {
    ...{ partition, accountId, keyId, familyId, spec, usage, origin, ...own },
    manager: "CUSTOMER",
    multiRegion: true,
    createdAt: now,
    enabled: true,
    imported: {},
    creatingUntil: new Date(now.getTime() + state.settings.replicationMs),
  };
}

export function updatePrimaryRegion(
  request: KmsRequest,
  { KeyId: keyId, PrimaryRegion: region }: Valid<UpdatePrimaryRegionCommandInput>,
): Record<never, never> {
  const primary = request.key(keyId);
  request.authorize("UpdatePrimaryRegion", primary, { ownAccountOnly: true, keys: { PrimaryRegion: region } });
  assertPrimary(primary);
  request.assertState(primary, UNUSABLE);
  if (region === primary.key.region) throw validationFault(`${region} is the primary Region already.`);
  const arn = keyArn({ ...request.scope, region }, primary.key.keyId);
  const replica = request.keys.find(arn, request.now);
  if (!replica) throw keyNotFound(arn);
  request.authorize("UpdatePrimaryRegion", replica, { ownAccountOnly: true, keys: { PrimaryRegion: region } });
  request.assertState(replica, UNUSABLE);
  const updatingUntil = new Date(request.now.getTime() + request.state.settings.primaryRegionUpdateMs);
  request.keys.updateFamily(primary.family, { primaryRegion: region });
  for (const key of [primary.key, replica.key]) request.keys.update(key, { updatingUntil });
  return {};
}

function assertPrimary({ key, family }: NamedKey): void {
  if (!key.multiRegion || key.region !== family.primaryRegion) throw notPrimary(key);
}

function assertRegion({ state, scope }: KmsRequest, region: string): void {
  if (!state.settings.regions.has(region) || partitionOf(region) !== scope.partition)
    throw validationFault(`Replica Region ${region} is not one of this emulator.`);
  if (region === scope.region) throw validationFault("A key can not be replicated into its own Region.");
}
