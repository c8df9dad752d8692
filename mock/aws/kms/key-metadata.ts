/**
 * What DescribeKey, CreateKey and ReplicateKey tell of a key.
 *
 * Source: KMS API Reference, "KeyMetadata".
 *
 * @module
 */
import type { KeyMetadata } from "@aws-sdk/client-kms";
import { algorithmMembers } from "./algorithms/index.ts";
import type { KeySituation } from "./key-state.ts";
import { stateOf } from "./key-state.ts";
import type { Keys } from "./keys.ts";
import type { KeyRow } from "./rows.ts";

export function metadataOf(keys: Keys, situation: KeySituation, now: Date): KeyMetadata {
  const { key, family, keyStore } = situation;
  const state = stateOf(situation, now);
  const { deletion, origin } = key;
  const imported = family.currentMaterialId === undefined ? undefined : key.imported[family.currentMaterialId];
  const showsMaterial = key.spec === "SYMMETRIC_DEFAULT" && !key.keyStore && state !== "Creating";
  return {
    AWSAccountId: key.accountId,
    KeyId: key.keyId,
    Arn: key.arn,
    CreationDate: key.createdAt,
    Enabled: state === "Enabled",
    Description: key.description,
    KeyUsage: key.usage,
    KeyState: state,
    ...(deletion?.date ? { DeletionDate: deletion.date } : {}),
    ...(deletion && !deletion.date ? { PendingDeletionWindowInDays: deletion.windowDays } : {}),
    Origin: origin,
    ...(keyStore?.cloudHsm ? { CloudHsmClusterId: keyStore.cloudHsm.clusterId } : {}),
    ...(keyStore ? { CustomKeyStoreId: keyStore.id } : {}),
    ...(keyStore?.xks && key.keyStore ? { XksKeyConfiguration: { Id: key.keyStore.backingKeyId } } : {}),
    ...(imported && state !== "PendingImport" ? { ExpirationModel: imported.expirationModel } : {}),
    ...(imported?.validTo && state !== "PendingImport" ? { ValidTo: imported.validTo } : {}),
    KeyManager: key.manager,
    CustomerMasterKeySpec: key.spec as KeyMetadata["CustomerMasterKeySpec"],
    KeySpec: key.spec,
    ...(algorithmMembers(key.spec, key.usage) as Partial<KeyMetadata>),
    MultiRegion: key.multiRegion,
    ...(key.multiRegion ? { MultiRegionConfiguration: multiRegionOf(keys, key, family.primaryRegion) } : {}),
    ...(showsMaterial && family.currentMaterialId !== undefined
      ? { CurrentKeyMaterialId: family.currentMaterialId }
      : {}),
  };
}

function multiRegionOf(keys: Keys, { familyId, region }: KeyRow, primaryRegion: string): object {
  const members = keys.related(familyId).map((key) => ({ Arn: key.arn, Region: key.region }));
  const [primary] = members.filter((member) => member.Region === primaryRegion);
  return {
    MultiRegionKeyType: region === primaryRegion ? "PRIMARY" : "REPLICA",
    ...(primary ? { PrimaryKey: primary } : {}),
    ReplicaKeys: members.filter((member) => member.Region !== primaryRegion),
  };
}
