/**
 * EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion.
 *
 * Source: KMS Developer Guide, "Enable and disable keys", "Deleting AWS KMS keys", "Deleting multi-Region keys".
 *
 * @module
 */
import type {
  CancelKeyDeletionCommandInput,
  CancelKeyDeletionCommandOutput,
  DisableKeyCommandInput,
  EnableKeyCommandInput,
  ScheduleKeyDeletionCommandInput,
  ScheduleKeyDeletionCommandOutput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import { keyArn } from "../identifiers.ts";
import { DELETING } from "../key-state.ts";
import { rotationDue } from "../keys.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import type { Answer, Valid } from "./operation.ts";

const DAY_MS = 86_400_000;
const WINDOW = { min: 7, max: 30 } as const;
const UNCHANGEABLE = [...DELETING, "PendingImport", "Creating", "Updating"] as const;

export function enableKey(request: KmsRequest, { KeyId: keyId }: Valid<EnableKeyCommandInput>): Record<never, never> {
  return setEnabled(request, "EnableKey", { keyId, enabled: true });
}

export function disableKey(request: KmsRequest, { KeyId: keyId }: Valid<DisableKeyCommandInput>): Record<never, never> {
  return setEnabled(request, "DisableKey", { keyId, enabled: false });
}

function setEnabled(
  request: KmsRequest,
  action: string,
  { keyId, enabled }: { readonly keyId: string; readonly enabled: boolean },
): Record<never, never> {
  const unused = enabled ? {} : { TrailingDaysWithoutKeyUsage: daysUnused(request, keyId) };
  const { key, family, ...named } = ownKey(request, action, keyId, unused);
  request.assertState({ key, family, ...named }, UNCHANGEABLE);
  request.keys.update(key, { enabled });
  const isPrimary = key.region === family.primaryRegion;
  // What was overdue while the key was disabled happens now, once, and the schedule starts anew.
  if (enabled && !key.enabled && isPrimary && rotationDue(family, request.now))
    request.keys.rotate(family, { at: request.now, type: "AUTOMATIC" });
  return {};
}

export function scheduleKeyDeletion(
  request: KmsRequest,
  { KeyId: keyId, PendingWindowInDays: windowDays = WINDOW.max }: Valid<ScheduleKeyDeletionCommandInput>,
): Answer<ScheduleKeyDeletionCommandOutput> {
  const named = ownKey(request, "ScheduleKeyDeletion", keyId, {
    ScheduleKeyDeletionPendingWindowInDays: windowDays,
    TrailingDaysWithoutKeyUsage: daysUnused(request, keyId),
  });
  if (windowDays < WINDOW.min || windowDays > WINDOW.max)
    throw validationFault(`PendingWindowInDays must be between ${WINDOW.min} and ${WINDOW.max} days.`);
  request.assertState(named, [...DELETING, "Updating"]);
  const { key, family } = named;
  const hasReplicas = key.region === family.primaryRegion && request.keys.related(family.id).length > 1;
  const date = new Date(request.now.getTime() + windowDays * DAY_MS);
  request.keys.update(key, { deletion: { windowDays, ...(hasReplicas ? {} : { date }) } });
  return {
    KeyId: key.arn,
    ...(hasReplicas ? {} : { DeletionDate: date }),
    KeyState: hasReplicas ? "PendingReplicaDeletion" : "PendingDeletion",
    PendingWindowInDays: windowDays,
  };
}

export function cancelKeyDeletion(
  request: KmsRequest,
  { KeyId: keyId }: Valid<CancelKeyDeletionCommandInput>,
): Answer<CancelKeyDeletionCommandOutput> {
  const { key } = ownKey(request, "CancelKeyDeletion", keyId);
  if (!key.deletion) throw new AwsFault("KMSInvalidStateException", `${key.arn} is not pending deletion.`);
  request.keys.clear(key, "deletion", { enabled: false });
  return { KeyId: key.arn };
}

function ownKey(
  request: KmsRequest,
  action: string,
  keyId: string,
  keys: Readonly<Record<string, number | undefined>> = {},
): NamedKey {
  const named = request.key(keyId);
  request.authorize(action, named, { ownAccountOnly: true, keys });
  assertCustomerManaged(named, action);
  return named;
}

/** Whole days since the key's last use; since it was made, if it has none. Nothing if the key is not there. */
function daysUnused({ tables, state, scope, now }: KmsRequest, keyId: string): number | undefined {
  const key = tables.keys.get(keyId.startsWith("arn:") ? keyId : keyArn(scope, keyId));
  if (!key) return undefined;
  const since = state.usage.get(key.arn)?.at ?? key.createdAt;
  return Math.floor((now.getTime() - since.getTime()) / DAY_MS);
}

/** AWS managed keys are changed by nobody. */
export function assertCustomerManaged({ key }: NamedKey, action: string): void {
  if (key.manager === "AWS")
    throw new AwsFault("UnsupportedOperationException", `${key.arn} is an AWS managed key: ${action} is not offered.`);
}
