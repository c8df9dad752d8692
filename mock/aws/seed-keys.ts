/**
 * Makes a seed's keys through KMS's own operations, as the root of their account, so that every check of theirs applies.
 *
 *   make     CreateKey under the id that the seed says, or that its name gives; ReplicateKey
 *   mend     description, tags, aliases, rotation: what differs, and nothing else
 *   policy   last, by PutKeyPolicy: it may shut out the root that does all this
 *
 * A key that was made and could not be finished is removed again: under the default policy it would be too open.
 *
 * @module
 */
import { invalidField } from "./config-field.ts";
import type { JsonObject } from "./json.ts";
import { keyArn, type Scope } from "./kms/identifiers.ts";
import type { KeySituation } from "./kms/key-state.ts";
import type { SeedKey, SeedKeyMembers } from "./seed-file.ts";
import { planKeys, refusing, type SeedingKms, type SeedPlan } from "./seed-plan.ts";
import type { AuthenticatedCaller } from "./service.ts";

interface Plan extends SeedPlan {
  readonly changes: string[];
}

/** What is to be asked of KMS, and the field of the seed that asks for it. */
interface Step {
  readonly operation: string;
  readonly input: JsonObject;
  readonly field: string;
}

/** Names in the seed → ARNs, and what was changed. @throws {ConfigError} */
export async function seedKeys(
  seeding: SeedingKms,
  keys: readonly SeedKey[],
): Promise<{ readonly arns: Readonly<Record<string, string>>; readonly changes: readonly string[] }> {
  const changes: string[] = [];
  const plans = planKeys(seeding, keys);
  for (const plan of plans) await seedKey({ ...plan, changes });
  return { arns: Object.fromEntries(plans.map(({ key, arn }) => [key.name, arn])), changes };
}

async function seedKey(plan: Plan): Promise<void> {
  const { key, field, seeding, arn, changes } = plan;
  const { spec: KeySpec, usage: KeyUsage, multiRegion: _given, replicas = [] } = key;
  const present = find(plan, arn);
  if (present) assertSameKind(plan, present);
  try {
    if (!present) {
      const input = { ...defined({ KeySpec, KeyUsage }), ...(plan.multiRegion ? { MultiRegion: true } : {}) };
      await ask(plan, { operation: "CreateKey", input, field });
      changes.push(`made key ${key.name}`);
    }
    await mendRotation(plan);
    await mend(plan, { arn, members: key, field });
    for (const [j, replica] of replicas.entries()) {
      const at = `${field}.replicas[${j}]`;
      const scope = { ...plan.scope, region: replica.region };
      const replicaArn = keyArn(scope, plan.keyId);
      if (!find(plan, replicaArn)) {
        const input = { KeyId: arn, ReplicaRegion: replica.region };
        await ask(plan, { operation: "ReplicateKey", input, field: at });
        changes.push(`made replica ${key.name} in ${replica.region}`);
      }
      const there = { ...plan, scope };
      await mend(there, { arn: replicaArn, members: replica, field: at });
      await mendPolicy(there, { arn: replicaArn, members: replica, field: at });
    }
    await mendPolicy(plan, { arn, members: key, field });
  } catch (error) {
    const made = present ? undefined : find(plan, arn);
    if (made)
      for (const row of seeding.kms.keys.related(made.key.familyId).toReversed())
        seeding.kms.keys.remove(row, seeding.now());
    throw error;
  }
}

function assertSameKind({ key, field, multiRegion }: Plan, { key: row }: KeySituation): void {
  const same = { spec: key.spec ?? row.spec, usage: key.usage ?? row.usage, multiRegion };
  for (const [name, wanted] of Object.entries(same))
    if (row[name as keyof typeof same] !== wanted)
      throw invalidField(`${field}.${name}`, `${row[name as keyof typeof same]}, which the key is`, String(wanted));
}

/** A key in its Region, and what the seed says of it there. */
interface Wanted {
  readonly arn: string;
  readonly members: SeedKeyMembers;
  readonly field: string;
}

async function mend(plan: Plan, { arn, members, field }: Wanted): Promise<void> {
  const { description, tags = {}, aliases = [] } = members;
  const { key } = found(plan, arn);
  if (description !== undefined && description !== key.description)
    await change(plan, {
      operation: "UpdateKeyDescription",
      input: { KeyId: arn, Description: description },
      field: `${field}.description`,
    });
  const missing = Object.entries(tags).filter(([name, value]) => key.tags[name] !== value);
  const Tags = missing.map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
  if (Tags.length > 0)
    await change(plan, { operation: "TagResource", input: { KeyId: arn, Tags }, field: `${field}.tags` });
  for (const [k, name] of aliases.entries()) {
    const { partition, region, accountId } = plan.scope;
    const alias = plan.seeding.kms.keys.tables.aliases.get(`arn:${partition}:kms:${region}:${accountId}:${name}`);
    if (alias?.targetKey === arn) continue;
    const operation = alias ? "UpdateAlias" : "CreateAlias";
    await change(plan, { operation, input: { AliasName: name, TargetKeyId: arn }, field: `${field}.aliases[${k}]` });
  }
}

async function mendRotation(plan: Plan): Promise<void> {
  const { key, arn, field } = plan;
  const { rotation } = found(plan, arn).family;
  const { rotationPeriodDays: days } = key;
  if (days === undefined || (rotation.enabled && rotation.periodDays === days)) return;
  const input = { KeyId: arn, RotationPeriodInDays: days };
  await change(plan, { operation: "EnableKeyRotation", input, field: `${field}.rotationPeriodDays` });
}

async function mendPolicy(plan: Plan, { arn, members, field }: Wanted): Promise<void> {
  const { policy, bypassPolicyLockoutSafetyCheck: bypasses = false } = members;
  const text = policy && JSON.stringify(policy);
  if (text === undefined || text === found(plan, arn).key.policy) return;
  const input = { KeyId: arn, Policy: text, BypassPolicyLockoutSafetyCheck: bypasses };
  await change(plan, { operation: "PutKeyPolicy", input, field: `${field}.policy` });
}

async function change(plan: Plan, step: Step): Promise<void> {
  await ask(plan, step);
  plan.changes.push(
    `${step.operation} ${plan.key.name}${plan.scope.region === plan.key.region ? "" : ` in ${plan.scope.region}`}`,
  );
}

/** @throws {ConfigError} what KMS refused, in its words */
async function ask({ service, scope, seeding }: Plan, { operation, input, field }: Step): Promise<void> {
  const connection = { sourceIp: "127.0.0.1", userAgent: "seed", host: "", tlsVersion: "", cipherSuite: "" };
  const { region } = scope;
  const now = seeding.now();
  const call = { operation, input, region, now, clientTime: now, requestId: "seed", connection, caller: rootOf(scope) };
  await refusing(field, () => service.handle(call));
}

function rootOf({ partition, accountId }: Scope): AuthenticatedCaller {
  const arn = `arn:${partition}:iam::${accountId}:root`;
  return {
    partition: partition as AuthenticatedCaller["partition"], // of an account in the directory
    ...{ accountId, type: "root", name: "root", principalArn: arn, arn, userId: accountId },
    ...{ accessKeyId: "", context: new Map(), identityPolicies: [] },
  };
}

function find({ seeding }: Plan, arn: string): KeySituation | undefined {
  return seeding.kms.keys.find(arn, seeding.now());
}

function found(plan: Plan, arn: string): KeySituation {
  const situation = find(plan, arn);
  if (!situation) throw new TypeError(`a seeded key is gone: ${arn}`);
  return situation;
}

function defined(members: Readonly<Record<string, string | undefined>>): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as JsonObject;
}
