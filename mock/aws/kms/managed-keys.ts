/**
 * AWS managed keys: the key behind `alias/aws/<service>`, made when DescribeKey or the service itself first asks for it
 * and is let at it.
 *
 * Source: KMS Developer Guide, "AWS managed keys"; KMS API Reference, DescribeKey.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { arnIn, type Identifier, type Scope } from "./identifiers.ts";
import { managedKeyPolicy } from "./key-policy.ts";
import type { KeySituation } from "./key-state.ts";
import type { Keys } from "./keys.ts";

const DAY_MS = 86_400_000;

/** Services whose alias exists in every account and Region, with or without a key behind it. */
export const MANAGED_SERVICES: readonly string[] = [
  "acm",
  "backup",
  "codecommit",
  "dynamodb",
  "ebs",
  "elasticfilesystem",
  "es",
  "fsx",
  "glue",
  "kinesis",
  "lambda",
  "rds",
  "redshift",
  "s3",
  "secretsmanager",
  "sns",
  "sqs",
  "ssm",
  "xray",
];

/** Names of the aliases. */
export function managedAliases(): readonly string[] {
  return MANAGED_SERVICES.map((service) => `alias/aws/${service}`);
}

/** The key that an AWS alias of the caller's own account and Region will have; nothing for another alias. */
export function draftManagedKey(
  { keys, scope, now }: { readonly keys: Keys; readonly scope: Scope; readonly now: Date },
  alias: Identifier,
): KeySituation | undefined {
  if (alias.kind !== "alias" || alias.arn !== arnIn(scope, alias.name)) return undefined;
  const service = MANAGED_SERVICES.find((name) => alias.name === `alias/aws/${name}`);
  if (service === undefined) return undefined;
  const { key, family } = keys.draft({
    scope,
    now,
    manager: "AWS",
    spec: "SYMMETRIC_DEFAULT",
    usage: "ENCRYPT_DECRYPT",
    origin: "AWS_KMS",
    description: `Default key that protects my ${service} data when no other key is defined`,
    policy: managedKeyPolicy(scope, service),
    tags: {},
    multiRegion: false,
    material: randomBytes(32),
  });
  const nextAt = new Date(now.getTime() + 365 * DAY_MS);
  return { key, family: { ...family, rotation: { ...family.rotation, enabled: true, nextAt } } };
}

export function keepManagedKey(keys: Keys, { key, family }: KeySituation, name: string): void {
  const { partition, accountId, region, createdAt } = key;
  const arn = arnIn(key, name);
  keys.keep({ key, family });
  keys.tables.aliases.set(arn, {
    ...{ arn, name, partition, accountId, region, targetKey: key.arn },
    ...{ createdAt, updatedAt: createdAt },
  });
}
