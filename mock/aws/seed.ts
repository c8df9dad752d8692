/**
 * Applies a seed to a running mock AWS: accounts, attestation roots, quotas, keys, in this order.
 *
 * What the seed does not name stays as it is, and seeding twice changes nothing. Where it fails, what came before stays;
 * the same seed goes on from there. One seed after the other: two at a time could make one key twice.
 *
 * @module
 */
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { invalidField } from "./config-field.ts";
import { readRoot } from "./control-values.ts";
import type { Directory } from "./directory.ts";
import { assertQuotas } from "./kms/quotas.ts";
import type { KmsState } from "./kms/state.ts";
import { Turns } from "./kms/turns.ts";
import { seedAccounts } from "./seed-accounts.ts";
import {
  checkSeed,
  type MockAwsSeed,
  readSeedFile,
  resolveSeed,
  type SeedAccount,
  type SeedRoot,
} from "./seed-file.ts";
import { seedKeys } from "./seed-keys.ts";
import type { Trust } from "./trust.ts";

/** The credentials of one of the seed's principals. */
export interface SeededCredentials {
  readonly accountId: string;
  readonly type: "root" | "user" | "role";
  readonly name: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface SeedOutcome {
  /** Names of the seed's keys → ARNs. */
  readonly keys: Readonly<Record<string, string>>;
  /** Those that the seed gives, and those that it or an earlier one has generated for its principals. */
  readonly credentials: readonly SeededCredentials[];
  /** What was done, for people; empty if all was there. */
  readonly changes: readonly string[];
}

export interface SeedingParts {
  readonly kms: KmsState;
  readonly directory: Directory;
  readonly trust: Trust;
  readonly now: () => Date;
  readonly flush: () => Promise<void>;
}

/** A mock AWS, as `startMockAws` gives it. */
export interface Seedable {
  seed(seed: MockAwsSeed): Promise<SeedOutcome>;
}

export interface Seeder {
  /** One after the other. @throws {ConfigError} names the field */
  readonly apply: (seed: MockAwsSeed) => Promise<SeedOutcome>;
  /** Whether one is on its way, or waits for its turn. */
  readonly isBusy: () => boolean;
}

export function seeder(parts: SeedingParts): Seeder {
  const turns = new Turns();
  return {
    apply: (given) => turns.take("seed", () => apply(parts, checkSeed(given))),
    isBusy: () => turns.size > 0,
  };
}

/**
 * Loads a seed into a mock AWS of this process: the path of a file, or an object (its files are looked for in the
 * current directory).
 *
 * @throws {ConfigError} names the field
 * @example
 * const { keys } = await loadSeed(aws, { keys: [{ name: "invoices", accountId: "111122223333", region: "eu-central-1" }] });
 */
export async function loadSeed(aws: Seedable, seed: string | URL | MockAwsSeed): Promise<SeedOutcome> {
  const isFile = typeof seed === "string" || seed instanceof URL;
  return aws.seed(isFile ? await readSeedFile(seed) : await resolveSeed(seed, "."));
}

async function apply(parts: SeedingParts, seed: MockAwsSeed): Promise<SeedOutcome> {
  const { directory, kms, trust, now } = parts;
  const { regions = [], accounts = [], keys = [], attestationRoots, quotas } = seed;
  for (const [i, region] of regions.entries())
    if (!kms.settings.regions.has(region))
      throw invalidField(`regions[${i}]`, "one of the emulator's Regions", "another");
  const roots = attestationRoots?.map((root, i) => readSeedRoot(root, `attestationRoots[${i}]`));
  if (quotas !== undefined) assertQuotas(quotas);
  const changes: string[] = seedAccounts(directory, accounts).map((accountId) => `set account ${accountId}`);
  if (roots && !sameBytes(roots, trust.roots)) {
    trust.replace(roots);
    changes.push(`set ${roots.length} attestation roots`);
  }
  if (quotas && JSON.stringify(quotas) !== JSON.stringify(kms.quotas.option)) {
    kms.quotas.set(quotas);
    changes.push("set quotas");
  }
  try {
    const seeded = await seedKeys({ kms, now }, keys);
    return { keys: seeded.arns, credentials: credentialsOf(directory, seed), changes: [...changes, ...seeded.changes] };
  } finally {
    await parts.flush();
  }
}

function readSeedRoot(root: SeedRoot, field: string): Uint8Array {
  if (root === "aws") return AWS_NITRO_ROOT_G1;
  if ("file" in root) throw invalidField(`${field}.file`, "read before: use loadSeed", "a path");
  return readRoot(root.der, field);
}

function sameBytes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i] ?? new Uint8Array()) === 0);
}

function credentialsOf(directory: Directory, { accounts = [] }: MockAwsSeed): readonly SeededCredentials[] {
  const { principals, credentials } = directory.snapshot();
  const given = new Set(accounts.flatMap(givenKeys));
  const byArn = new Map(principals.map((row) => [row.arn, row]));
  return accounts.flatMap(({ accountId, principals: members = [] }) => {
    const named = new Set(["root/root", ...members.map(({ type, name }) => `${type}/${name}`)]);
    return credentials.flatMap(({ principalArn, accessKeyId, secretAccessKey, sessionToken, isGenerated }) => {
      if (!isGenerated && !given.has(accessKeyId)) return []; // whoever seeds need not know it
      const row = byArn.get(principalArn);
      if (row?.accountId !== accountId || !named.has(`${row.type}/${row.name}`)) return [];
      const { type, name } = row;
      return [
        {
          accountId,
          type,
          name,
          accessKeyId,
          secretAccessKey,
          ...(sessionToken === undefined ? {} : { sessionToken }),
        },
      ];
    });
  });
}

/** The access keys that a seed brings itself. */
export function givenKeys({ principals = [], rootCredentials = [] }: SeedAccount): readonly string[] {
  const lists = [...principals.map(({ credentials = [] }) => credentials), rootCredentials];
  return lists.flatMap((list) => (list === "generate" ? [] : list.map(({ accessKeyId }) => accessKeyId)));
}
