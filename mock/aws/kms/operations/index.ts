/**
 * Every operation of KMS, by name.
 *
 * @module
 */
import { createAlias, deleteAlias, listAliases, updateAlias } from "./aliases.ts";
import {
  generateDataKey,
  generateDataKeyPair,
  generateDataKeyPairWithoutPlaintext,
  generateDataKeyWithoutPlaintext,
  generateRandom,
} from "./data-keys.ts";
import { decrypt, encrypt, reEncrypt } from "./encryption.ts";
import { createGrant, listGrants, listRetirableGrants, retireGrant, revokeGrant } from "./grants.ts";
import { deleteImportedKeyMaterial, getParametersForImport, importKeyMaterial } from "./import.ts";
import { cancelKeyDeletion, disableKey, enableKey, scheduleKeyDeletion } from "./key-states.ts";
import {
  connectCustomKeyStore,
  createCustomKeyStore,
  deleteCustomKeyStore,
  describeCustomKeyStores,
  disconnectCustomKeyStore,
  updateCustomKeyStore,
} from "./key-stores.ts";
import { createKey, describeKey, getKeyLastUsage, getPublicKey, listKeys, updateKeyDescription } from "./keys.ts";
import { replicateKey, updatePrimaryRegion } from "./multi-region.ts";
import { type Operation, reads, writes } from "./operation.ts";
import { getKeyPolicy, listKeyPolicies, putKeyPolicy } from "./policies.ts";
import {
  disableKeyRotation,
  enableKeyRotation,
  getKeyRotationStatus,
  listKeyRotations,
  rotateKeyOnDemand,
} from "./rotation.ts";
import { deriveSharedSecret, generateMac, sign, verify, verifyMac } from "./signing.ts";
import { listResourceTags, tagResource, untagResource } from "./tags.ts";

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ["CancelKeyDeletion", writes(cancelKeyDeletion, "KeyId")],
  ["ConnectCustomKeyStore", writes(connectCustomKeyStore)],
  ["CreateAlias", writes(createAlias)],
  ["CreateCustomKeyStore", writes(createCustomKeyStore, "CustomKeyStoreId")],
  ["CreateGrant", writes(createGrant, "GrantId")],
  ["CreateKey", writes(createKey, "KeyMetadata")],
  ["Decrypt", reads(decrypt)],
  ["DeleteAlias", writes(deleteAlias)],
  ["DeleteCustomKeyStore", writes(deleteCustomKeyStore)],
  ["DeleteImportedKeyMaterial", writes(deleteImportedKeyMaterial, "KeyId", "KeyMaterialId")],
  ["DeriveSharedSecret", reads(deriveSharedSecret)],
  ["DescribeCustomKeyStores", reads(describeCustomKeyStores)],
  ["DescribeKey", reads(describeKey)],
  ["DisableKey", writes(disableKey)],
  ["DisableKeyRotation", writes(disableKeyRotation)],
  ["DisconnectCustomKeyStore", writes(disconnectCustomKeyStore)],
  ["EnableKey", writes(enableKey)],
  ["EnableKeyRotation", writes(enableKeyRotation)],
  ["Encrypt", reads(encrypt)],
  ["GenerateDataKey", reads(generateDataKey)],
  ["GenerateDataKeyPair", reads(generateDataKeyPair)],
  ["GenerateDataKeyPairWithoutPlaintext", reads(generateDataKeyPairWithoutPlaintext)],
  ["GenerateDataKeyWithoutPlaintext", reads(generateDataKeyWithoutPlaintext)],
  ["GenerateMac", reads(generateMac)],
  ["GenerateRandom", reads(generateRandom)],
  ["GetKeyLastUsage", reads(getKeyLastUsage)],
  ["GetKeyPolicy", reads(getKeyPolicy)],
  ["GetKeyRotationStatus", reads(getKeyRotationStatus)],
  ["GetParametersForImport", reads(getParametersForImport)],
  ["GetPublicKey", reads(getPublicKey)],
  ["ImportKeyMaterial", writes(importKeyMaterial, "KeyId", "KeyMaterialId")],
  ["ListAliases", reads(listAliases)],
  ["ListGrants", reads(listGrants)],
  ["ListKeyPolicies", reads(listKeyPolicies)],
  ["ListKeyRotations", reads(listKeyRotations)],
  ["ListKeys", reads(listKeys)],
  ["ListResourceTags", reads(listResourceTags)],
  ["ListRetirableGrants", reads(listRetirableGrants)],
  ["PutKeyPolicy", writes(putKeyPolicy)],
  ["ReEncrypt", reads(reEncrypt)],
  ["ReplicateKey", writes(replicateKey, "ReplicaKeyMetadata")],
  ["RetireGrant", writes(retireGrant)],
  ["RevokeGrant", writes(revokeGrant)],
  ["RotateKeyOnDemand", writes(rotateKeyOnDemand, "KeyId")],
  ["ScheduleKeyDeletion", writes(scheduleKeyDeletion, "KeyId", "DeletionDate", "KeyState", "PendingWindowInDays")],
  ["Sign", reads(sign)],
  ["TagResource", writes(tagResource)],
  ["UntagResource", writes(untagResource)],
  ["UpdateAlias", writes(updateAlias)],
  ["UpdateCustomKeyStore", writes(updateCustomKeyStore)],
  ["UpdateKeyDescription", writes(updateKeyDescription)],
  ["UpdatePrimaryRegion", writes(updatePrimaryRegion)],
  ["Verify", reads(verify)],
  ["VerifyMac", reads(verifyMac)],
]);
