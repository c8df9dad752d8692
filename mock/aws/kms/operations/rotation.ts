/**
 * EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations.
 *
 * A rotation on demand is done when it is answered; AWS takes some time over it.
 *
 * Source: KMS Developer Guide, "Rotate AWS KMS keys"; KMS API Reference; recorded answers for the texts.
 *
 * @module
 */
import type {
  DisableKeyRotationCommandInput,
  EnableKeyRotationCommandInput,
  GetKeyRotationStatusCommandInput,
  GetKeyRotationStatusCommandOutput,
  ListKeyRotationsCommandInput,
  ListKeyRotationsCommandOutput,
  RotateKeyOnDemandCommandInput,
  RotateKeyOnDemandCommandOutput,
  RotationsListEntry,
} from "@aws-sdk/client-kms";
import { AwsFault } from "../../fault.ts";
import { DELETING, isHeld, UNUSABLE } from "../key-state.ts";
import { rotationDue } from "../keys.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import type { FamilyRow, KeyRow, MaterialRow } from "../rows.ts";
import { assertCustomerManaged } from "./key-states.ts";
import type { Answer, Valid } from "./operation.ts";

const DAY_MS = 86_400_000;
const ON_DEMAND_MAX = 25;
/** So shortly before an automatic rotation there is none on demand. */
const SOON_MS = 20 * 60_000;

export function enableKeyRotation(
  request: KmsRequest,
  { KeyId: keyId, RotationPeriodInDays: periodDays = 365 }: Valid<EnableKeyRotationCommandInput>,
): Record<never, never> {
  const named = request.key(keyId);
  request.authorize("EnableKeyRotation", named, { ownAccountOnly: true, keys: { RotationPeriodInDays: periodDays } });
  assertRotates(request, named, "EnableKeyRotation");
  const { family } = named;
  const nextAt = new Date(request.now.getTime() + periodDays * DAY_MS);
  request.keys.updateFamily(family, { rotation: { ...family.rotation, enabled: true, periodDays, nextAt } });
  return {};
}

export function disableKeyRotation(
  request: KmsRequest,
  { KeyId: keyId }: Valid<DisableKeyRotationCommandInput>,
): Record<never, never> {
  const named = request.key(keyId);
  request.authorize("DisableKeyRotation", named, { ownAccountOnly: true });
  assertRotates(request, named, "DisableKeyRotation");
  const { family } = named;
  const { nextAt: _, ...rotation } = family.rotation;
  request.keys.updateFamily(family, { rotation: { ...rotation, enabled: false } });
  return {};
}

function assertRotates(request: KmsRequest, named: NamedKey, action: string): void {
  const { key, family } = named;
  assertCustomerManaged(named, action);
  if (key.spec !== "SYMMETRIC_DEFAULT") throw new AwsFault("UnsupportedOperationException");
  if (key.origin !== "AWS_KMS") throw invalidOrigin(key);
  if (key.region !== family.primaryRegion) throw notPrimary(key);
  request.assertState(named, ["Disabled", ...DELETING, "Creating"]);
}

export function getKeyRotationStatus(
  request: KmsRequest,
  { KeyId: keyId }: Valid<GetKeyRotationStatusCommandInput>,
): Answer<GetKeyRotationStatusCommandOutput> {
  const named = request.key(keyId);
  request.authorize("GetKeyRotationStatus", named);
  const { key, family } = named;
  if (key.keyStore) throw invalidOrigin(key);
  const enabled = family.rotation.enabled && !key.deletion;
  return {
    KeyId: key.arn,
    KeyRotationEnabled: enabled,
    ...(enabled ? { RotationPeriodInDays: family.rotation.periodDays, NextRotationDate: family.rotation.nextAt } : {}),
  };
}

export function rotateKeyOnDemand(
  request: KmsRequest,
  { KeyId: keyId }: Valid<RotateKeyOnDemandCommandInput>,
): Answer<RotateKeyOnDemandCommandOutput> {
  const named = request.key(keyId);
  const { key, family } = named;
  request.authorize("RotateKeyOnDemand", named, { ownAccountOnly: true });
  assertCustomerManaged(named, "RotateKeyOnDemand");
  request.assertState(named, UNUSABLE);
  if (key.spec !== "SYMMETRIC_DEFAULT") throw new AwsFault("UnsupportedOperationException");
  if (key.keyStore) throw invalidOrigin(key);
  if (key.region !== family.primaryRegion) throw notPrimary(key);
  const soon = new Date(request.now.getTime() + SOON_MS);
  if (rotationDue(family, soon)) throw new AwsFault("ConflictException", `${key.arn} is about to rotate by itself.`);
  if (family.rotation.onDemandCount >= ON_DEMAND_MAX)
    throw new AwsFault(
      "LimitExceededException",
      `The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: ${key.arn}`,
    );
  const rotation = { at: request.now, type: "ON_DEMAND" } as const;
  const rotated = key.origin === "EXTERNAL" ? promote(request, named, rotation) : request.keys.rotate(family, rotation);
  request.keys.updateFamily(rotated, {
    rotation: { ...rotated.rotation, onDemandCount: rotated.rotation.onDemandCount + 1 },
  });
  return { KeyId: key.arn };
}

/** Imported material that waits becomes the current one. */
function promote(
  request: KmsRequest,
  { key, family }: NamedKey,
  rotation: NonNullable<MaterialRow["rotation"]>,
): FamilyRow {
  const pending = pendingMaterial(family);
  const holders = request.keys.related(family.id);
  if (!pending || !holders.every((holder) => isHeld(holder, pending.id, request.now)))
    throw new AwsFault(
      "KMSInvalidStateException",
      `No available key material pending rotation for the key: ${key.arn}.`,
    );
  return request.keys.updateFamily(family, {
    materials: family.materials.map((material) => (material === pending ? { ...material, rotation } : material)),
    currentMaterialId: pending.id,
  });
}

/** Imported after the first and not yet rotated to. */
export function pendingMaterial({ materials }: Pick<FamilyRow, "materials">): MaterialRow | undefined {
  return materials.find(({ rotation }, index) => index > 0 && !rotation);
}

export function listKeyRotations(
  request: KmsRequest,
  input: Valid<ListKeyRotationsCommandInput>,
): Answer<ListKeyRotationsCommandOutput> {
  const named = request.key(input.KeyId);
  request.authorize("ListKeyRotations", named, { ownAccountOnly: true });
  const { key, family } = named;
  if (key.spec !== "SYMMETRIC_DEFAULT" || key.keyStore) throw new AwsFault("UnsupportedOperationException");
  const isFull = input.IncludeKeyMaterial === "ALL_KEY_MATERIAL";
  const all = family.materials
    .map((material, index) => ({ material, order: String(index).padStart(6, "0") }))
    .filter(({ material }) => isFull || material.rotation);
  const { page, ...more } = paginate(all, input, { idOf: ({ order }) => order, defaultLimit: 100 });
  return { Rotations: page.map(({ material }) => entryOf(request, named, material)), ...more };
}

function stateOf(
  { keys, now }: KmsRequest,
  { id, currentMaterialId, materials }: FamilyRow,
  material: MaterialRow,
): RotationsListEntry["KeyMaterialState"] {
  if (material.id === currentMaterialId) return "CURRENT";
  if (material !== pendingMaterial({ materials })) return "NON_CURRENT";
  const isEverywhere = keys.related(id).every((key) => isHeld(key, material.id, now));
  return isEverywhere ? "PENDING_ROTATION" : "PENDING_MULTI_REGION_IMPORT_AND_ROTATION";
}

function entryOf(request: KmsRequest, { key, family }: NamedKey, material: MaterialRow): RotationsListEntry {
  const { id, rotation } = material;
  const imported = key.imported[id];
  return {
    KeyId: key.arn,
    KeyMaterialId: id,
    ...(imported?.description === undefined ? {} : { KeyMaterialDescription: imported.description }),
    ...(key.origin === "EXTERNAL" ? { ImportState: isHeld(key, id, request.now) ? "IMPORTED" : "PENDING_IMPORT" } : {}),
    KeyMaterialState: stateOf(request, family, material),
    ...(imported ? { ExpirationModel: imported.expirationModel } : {}),
    ...(imported?.validTo ? { ValidTo: imported.validTo } : {}),
    ...(rotation ? { RotationDate: rotation.at, RotationType: rotation.type } : {}),
  };
}

export function invalidOrigin({ arn, origin }: KeyRow): AwsFault {
  return new AwsFault(
    "UnsupportedOperationException",
    `${arn} origin is ${origin} which is not valid for this operation.`,
  );
}

export function notPrimary({ arn }: KeyRow): AwsFault {
  return new AwsFault("UnsupportedOperationException", `${arn} is not a multi-region primary key.`);
}
