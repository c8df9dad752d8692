/**
 * How many requests in a second KMS takes, by account and Region; one more is a ThrottlingException.
 *
 * The account is the caller's, also for a key of another account. Windows are whole seconds of the emulator's clock.
 * Names and values are AWS's; ReEncrypt counts once, ReplicateKey as itself only.
 *
 * Source: KMS Developer Guide, "Request quotas".
 *
 * @module
 */
import { ConfigError } from "../../../shared/errors/index.ts";
import { invalidField } from "../config-field.ts";
import { AwsFault } from "../fault.ts";
import type { KeyRow } from "./rows.ts";

/** `off`, AWS's own values, or values by quota name that replace some of AWS's. */
export type QuotaOption = "off" | "aws" | Readonly<Record<string, number>>;

export interface Quota {
  readonly name: string;
  readonly perSecond: number;
  readonly adjustable: boolean;
}

export interface QuotaScope {
  readonly accountId: string;
  readonly region: string;
}

const SYMMETRIC = "Cryptographic operations (symmetric) request rate";
const RSA = "Cryptographic operations (RSA) request rate";
const ECC = "Cryptographic operations (ECC) request rate";
const ML_DSA = "Cryptographic operations (ML-DSA) request rate";
const KEY_STORE = "Custom key store request quota";
const LARGEST = ["us-east-1", "us-west-2", "eu-west-1"];
const LARGE = ["us-east-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "eu-central-1", "eu-west-2"];

/** Requests per second of the operations that have a quota of their own. */
const PER_SECOND: readonly (readonly [perSecond: number, operations: string])[] = [
  [1, "GetParametersForImport"],
  [
    5,
    "CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateKey DeleteCustomKeyStore DescribeCustomKeyStores DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey GetKeyLastUsage ReplicateKey RotateKeyOnDemand UntagResource UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion",
  ],
  [10, "TagResource"],
  [15, "DeleteAlias DeleteImportedKeyMaterial EnableKeyRotation ImportKeyMaterial PutKeyPolicy ScheduleKeyDeletion"],
  [50, "CreateGrant RetireGrant RevokeGrant"],
  [100, "ListGrants ListKeyPolicies ListKeyRotations ListRetirableGrants"],
  [500, "ListAliases ListKeys"],
  [1000, "GetKeyPolicy GetKeyRotationStatus"],
  [2000, "DescribeKey GetPublicKey ListResourceTags"],
];
const PAIRS: Readonly<Record<string, number>> = {
  ...{ ECC_NIST_P256: 100, ECC_NIST_P384: 100, ECC_NIST_P521: 100, ECC_SECG_P256K1: 100 },
  ...{ ECC_NIST_EDWARDS25519: 100, SM2: 25, RSA_2048: 20, RSA_3072: 4, RSA_4096: 1 },
};
/** Operations whose key decides what they count against. */
const BY_KEY: ReadonlySet<string> = new Set([
  ...["Encrypt", "Decrypt", "ReEncrypt", "Sign", "Verify", "DeriveSharedSecret"],
  ...["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"],
]);

const OWN: ReadonlyMap<string, number> = new Map(
  PER_SECOND.flatMap(([perSecond, names]) => names.split(" ").map((name) => [name, perSecond] as const)),
);

const standards = new Map<string, ReadonlyMap<string, Quota>>();

function standardsOf(region: string): ReadonlyMap<string, Quota> {
  const known = standards.get(region);
  if (known) return known;
  const made = new Map(defaultQuotas(region).map((quota) => [quota.name, quota]));
  standards.set(region, made);
  return made;
}

/** Every quota of a Region as AWS sets it. */
export function defaultQuotas(region: string): readonly Quota[] {
  const symmetric = LARGEST.includes(region) ? 100_000 : LARGE.includes(region) ? 20_000 : 10_000;
  const adjustable = true;
  return [
    { name: SYMMETRIC, perSecond: symmetric, adjustable },
    ...[RSA, ECC, ML_DSA].map((name) => ({ name, perSecond: 1000, adjustable })),
    { name: KEY_STORE, perSecond: 1800, adjustable: false },
    ...Object.entries(PAIRS).map(([spec, perSecond]) => ({ name: pairQuota(spec), perSecond, adjustable })),
    ...[...OWN].map(([operation, perSecond]) => ({ name: ownQuota(operation), perSecond, adjustable })),
  ];
}

/** What a request counts against, as far as is known: for some operations the key decides. */
export interface Spending {
  readonly operation: string;
  readonly key?: Pick<KeyRow, "spec" | "keyStore">;
  readonly pairSpec?: string | undefined;
}

/** The name of the quota; nothing as long as the key that decides is not known. */
export function quotaOf({ operation, key, pairSpec }: Spending): string | undefined {
  if (operation.startsWith("GenerateDataKeyPair")) return pairSpec === undefined ? undefined : pairQuota(pairSpec);
  if (OWN.has(operation)) return ownQuota(operation);
  if (!BY_KEY.has(operation)) return SYMMETRIC;
  if (!key) return undefined;
  return key.keyStore ? `${KEY_STORE} ${key.keyStore.id}` : cryptographicQuota(key.spec);
}

function cryptographicQuota(spec: string): string {
  if (spec.startsWith("RSA")) return RSA;
  if (spec.startsWith("ECC") || spec === "SM2") return ECC;
  return spec.startsWith("ML_DSA") ? ML_DSA : SYMMETRIC;
}

function ownQuota(operation: string): string {
  return `${operation} request rate`;
}

function pairQuota(spec: string): string {
  return `GenerateDataKeyPair (${spec}) request rate`;
}

const NAMES: ReadonlySet<string> = new Set(defaultQuotas("us-east-1").map(({ name }) => name)); // as everywhere

/** Names that AWS has, and numbers. @throws {ConfigError} names the field */
export function assertQuotas(option: QuotaOption): void {
  if (option === "off" || option === "aws") return;
  if (typeof option !== "object" || option === null || Array.isArray(option))
    throw invalidField("quotas", '"off", "aws", or requests per second by name', typeof option);
  for (const [name, perSecond] of Object.entries(option)) {
    const field = `quotas.${name}`;
    if (!NAMES.has(name)) throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field, known: [...NAMES] });
    if (!Number.isFinite(perSecond) || perSecond < 0) throw invalidField(field, "0 or more", "another value");
  }
}

/** A copy: what its maker changes later does not count. */
function readQuotas(option: QuotaOption): QuotaOption {
  assertQuotas(option);
  return typeof option === "string" ? option : { ...option };
}

/** Windows older than a second are dropped when there are so many. */
const WINDOWS_MAX = 10_000;

export class Quotas {
  readonly #initial: QuotaOption;
  #option: QuotaOption;
  readonly #raised = new Map<string, number>();
  readonly #windows = new Map<string, { second: number; count: number }>();
  #throttled = 0;

  /** @throws {ConfigError} as `assertQuotas` */
  constructor(option: QuotaOption) {
    this.#initial = readQuotas(option);
    this.#option = this.#initial;
  }

  get option(): QuotaOption {
    return this.#option;
  }

  /** How many requests were refused. */
  get throttled(): number {
    return this.#throttled;
  }

  /** @throws {ConfigError} as `assertQuotas` */
  set(option: QuotaOption): void {
    this.#option = readQuotas(option);
    this.#windows.clear();
  }

  /** Back to what it was made with: nothing is raised and nothing is spent. */
  reset(): void {
    this.#raised.clear();
    this.set(this.#initial);
  }

  /** What holds for an account in a Region. */
  applied(scope: QuotaScope): readonly Quota[] {
    return defaultQuotas(scope.region).map((quota) => ({ ...quota, perSecond: this.#limit(quota.name, scope) }));
  }

  raise(name: string, scope: QuotaScope, perSecond: number): void {
    this.#raised.set(`${scope.accountId} ${scope.region} ${name}`, perSecond);
  }

  /** @throws {AwsFault} `ThrottlingException` */
  spend(name: string, scope: QuotaScope, now: Date): void {
    if (this.#option === "off") return;
    const second = Math.floor(now.getTime() / 1000);
    const id = `${scope.accountId} ${scope.region} ${name}`;
    const window = this.#windows.get(id);
    const count = window?.second === second ? window.count + 1 : 1;
    if (count > this.#limit(name, scope)) {
      this.#throttled++;
      throw throttled();
    }
    if (this.#windows.size >= WINDOWS_MAX)
      for (const [old, { second: at }] of this.#windows) if (at < second) this.#windows.delete(old);
    this.#windows.set(id, { second, count });
  }

  #limit(name: string, scope: QuotaScope): number {
    const family = name.startsWith(KEY_STORE) ? KEY_STORE : name;
    const raised = this.#raised.get(`${scope.accountId} ${scope.region} ${family}`);
    const custom = typeof this.#option === "object" ? this.#option[family] : undefined;
    const standard = standardsOf(scope.region).get(family)?.perSecond;
    return raised ?? custom ?? standard ?? Number.POSITIVE_INFINITY;
  }
}

export function throttled(): AwsFault {
  return new AwsFault(
    "ThrottlingException",
    "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
  );
}
