/**
 * In which state a key is at a time, and what each state lets an operation do.
 *
 * A key's row says what was asked of it; time says the rest: windows close, imported material expires, replicas become
 * ready. `stateOf` computes, nothing here writes.
 *
 * Source: KMS Developer Guide, "Key states of AWS KMS keys", its table and footnotes.
 *
 * @module
 */
import type { KeyState } from "@aws-sdk/client-kms";
import { AwsFault } from "../fault.ts";
import type { CustomKeyStoreRow, FamilyRow, KeyRow } from "./rows.ts";

export interface KeySituation {
  readonly key: KeyRow;
  readonly family: FamilyRow;
  /** Of a key in a custom key store. */
  readonly keyStore?: CustomKeyStoreRow | undefined;
}

export function stateOf({ key, family, keyStore }: KeySituation, now: Date): KeyState {
  if (key.deletion) return key.deletion.date ? "PendingDeletion" : "PendingReplicaDeletion";
  if (key.creatingUntil && now < key.creatingUntil) return "Creating";
  if (key.updatingUntil && now < key.updatingUntil) return "Updating";
  if (key.origin === "EXTERNAL" && !holdsAllMaterial({ key, family }, now)) return "PendingImport";
  if (key.keyStore && keyStore?.state !== "CONNECTED") return "Unavailable";
  return key.enabled ? "Enabled" : "Disabled";
}

/** Every material that ciphertexts may need must be there; a pending one need not. */
function holdsAllMaterial({ key, family }: KeySituation, now: Date): boolean {
  const needed = family.materials.filter(({ rotation }, i) => i === 0 || rotation !== undefined);
  return needed.length > 0 && needed.every(({ id }) => isHeld(key, id, now));
}

export function isHeld(key: KeyRow, materialId: string, now: Date): boolean {
  if (key.origin !== "EXTERNAL") return true;
  const imported = key.imported[materialId];
  return imported !== undefined && (imported.validTo === undefined || now < imported.validTo);
}

const TEXT: Readonly<Partial<Record<KeyState, string>>> = {
  PendingDeletion: "is pending deletion.",
  PendingReplicaDeletion: "is pending deletion.",
  PendingImport: "is pending import.",
  Unavailable: "is unavailable.",
  Creating: "is creating.",
  Updating: "is updating.",
};

/** The states that an operation does not work in; "Updating" is fine unless named. */
export type RefusedStates = readonly KeyState[];

/** Cryptographic operations, GetPublicKey, ReplicateKey. */
export const UNUSABLE: RefusedStates = [
  "Disabled",
  "PendingDeletion",
  "PendingReplicaDeletion",
  "PendingImport",
  "Unavailable",
  "Creating",
];
export const DELETING: RefusedStates = ["PendingDeletion", "PendingReplicaDeletion"];

/** @throws {AwsFault} `DisabledException`, `KMSInvalidStateException` */
export function assertState(situation: KeySituation, now: Date, refused: RefusedStates): void {
  const state = stateOf(situation, now);
  const { arn, deletion, enabled } = situation.key;
  if (!refused.includes(state)) {
    // A key that is updated or not reachable can be disabled at the same time.
    if (state === "Updating" && !enabled && !deletion && refused.includes("Disabled")) throw disabled(arn);
    return;
  }
  if (state === "Disabled") throw disabled(arn);
  throw new AwsFault("KMSInvalidStateException", `${arn} ${TEXT[state] ?? "has a state that does not allow this."}`);
}

function disabled(arn: string): AwsFault {
  return new AwsFault("DisabledException", `${arn} is disabled.`);
}
