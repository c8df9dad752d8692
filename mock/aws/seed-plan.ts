/**
 * Reads a seed's keys into plans, and refuses what can be refused before the first is made.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { invalidField } from "./config-field.ts";
import { AwsFault } from "./fault.ts";
import { FaultQueue } from "./kms/faults.ts";
import { keyArn, type Scope } from "./kms/identifiers.ts";
import { readKeyPolicy } from "./kms/key-policy.ts";
import { Quotas } from "./kms/quotas.ts";
import { createKms } from "./kms/service.ts";
import type { KmsState } from "./kms/state.ts";
import { partitionOf } from "./partition.ts";
import type { SeedKey } from "./seed-file.ts";
import type { Service } from "./service.ts";

export interface SeedingKms {
  readonly kms: KmsState;
  readonly now: () => Date;
}

/** A key of the seed on its way: where it is, under which id, and how its changes are asked for. */
export interface SeedPlan {
  readonly key: SeedKey;
  /** `keys[0]`. */
  readonly field: string;
  readonly scope: Scope;
  readonly arn: string;
  readonly keyId: string;
  readonly multiRegion: boolean;
  readonly service: Service;
  readonly seeding: SeedingKms;
}

/** @throws {ConfigError} names the field */
export function planKeys(seeding: SeedingKms, keys: readonly SeedKey[]): readonly SeedPlan[] {
  const plans = keys.map((key, i) => planKey(seeding, key, `keys[${i}]`));
  for (const [i, { arn, field }] of plans.entries())
    if (plans.findIndex((other) => other.arn === arn) !== i)
      throw invalidField(`${field}.keyId`, "unique", "a repetition");
  return plans;
}

function planKey(seeding: SeedingKms, key: SeedKey, field: string): SeedPlan {
  const { kms } = seeding;
  const { accountId, region, name, replicas = [] } = key;
  if (!kms.directory.hasAccount(accountId)) throw invalidField(`${field}.accountId`, "one of the accounts", "another");
  const partition = partitionOf(region);
  if (!kms.directory.hasPrincipal(`arn:${partition}:iam::${accountId}:root`))
    throw invalidField(`${field}.region`, "of the account's partition", "of another");
  const places = [
    { at: field, ...key },
    ...replicas.map((replica, j) => ({ at: `${field}.replicas[${j}]`, ...replica })),
  ];
  for (const place of places) {
    if (!kms.settings.regions.has(place.region))
      throw invalidField(`${place.at}.region`, "one of the emulator's Regions", "another");
    const { policy } = place;
    if (policy) refusing(`${place.at}.policy`, () => readKeyPolicy(JSON.stringify(policy), kms.directory));
  }
  const multiRegion = key.multiRegion ?? (key.keyId?.startsWith("mrk-") === true || replicas.length > 0);
  const keyId = key.keyId ?? keyIdOf(`${accountId} ${name}`, multiRegion);
  if (keyId.startsWith("mrk-") !== multiRegion)
    throw invalidField(`${field}.keyId`, multiRegion ? "mrk- and 32 hex digits" : "a UUID", "another form");
  const scope = { partition, accountId, region };
  // Whatever KMS is told to play or to count is for its callers.
  const state = { ...kms, quotas: new Quotas("off"), faults: new FaultQueue(), newKeyId: () => keyId };
  const service = createKms({ state, record: () => undefined });
  return { key, field, scope, arn: keyArn(scope, keyId), keyId, multiRegion, service, seeding };
}

/** The same name has the same id in every run. */
function keyIdOf(name: string, multiRegion: boolean): string {
  const hex = createHash("sha256").update(name).digest("hex");
  if (multiRegion) return `mrk-${hex.slice(0, 32)}`;
  // RFC 9562 §5.8: version 8, the variant's two bits.
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/, "$1-$2-8$3-a$4-$5");
}

/** What KMS refuses is a mistake in the seed, in KMS's words. */
export function refusing<Result>(field: string, work: () => Result): Result {
  const refused = (cause: unknown): never => {
    if (!(cause instanceof AwsFault)) throw cause;
    const actual = `refused: ${cause.error}${cause.message === "" ? "" : `, ${cause.message}`}`;
    throw invalidField(field, "what KMS takes", actual, { cause });
  };
  try {
    const result = work();
    return (result instanceof Promise ? result.catch(refused) : result) as Result;
  } catch (cause) {
    return refused(cause);
  }
}
