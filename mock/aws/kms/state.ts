/**
 * What the KMS service holds between calls, and what it is opened with.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { Directory } from "../directory.ts";
import type { Database } from "../state/database.ts";
import { KeyPairPool } from "./algorithms/index.ts";
import type { FaultQueue } from "./faults.ts";
import { KeyStoreConnections, type KeyStoreSettings } from "./key-store-connections.ts";
import { Keys, type KeyUse, newKeyId } from "./keys.ts";
import { type QuotaOption, Quotas } from "./quotas.ts";
import type { RecipientRules } from "./recipient.ts";
import { openKmsTables } from "./rows.ts";
import { Turns } from "./turns.ts";

/** What of KMS an operator may set; each has a default. */
export interface MockKmsOptions {
  /** How long ReplicateKey's new key stays in `Creating`, in milliseconds; 0 if absent. */
  readonly replicationMs?: number;
  /** How long UpdatePrimaryRegion's keys stay in `Updating`, in milliseconds; 0 if absent. */
  readonly primaryRegionUpdateMs?: number;
  /** After how long a grant holds without its token, in milliseconds; 0 if absent. */
  readonly grantPropagationMs?: number;
  /** `off` if absent. */
  readonly quotas?: QuotaOption;
  /** What stands behind custom key stores. */
  readonly keyStores?: Partial<KeyStoreSettings>;
}

export interface KmsSettings extends Required<Omit<MockKmsOptions, "keyStores" | "quotas">> {
  readonly regions: ReadonlySet<string>;
}

export interface KmsState {
  readonly keys: Keys;
  /** The id of a key that CreateKey makes. */
  readonly newKeyId: (multiRegion: boolean) => string;
  readonly faults: FaultQueue;
  readonly directory: Directory;
  readonly recipientRules: RecipientRules;
  readonly keyPairs: KeyPairPool;
  readonly keyStores: KeyStoreConnections;
  /** By account and Region: what changes custom key stores, and makes keys in them. */
  readonly keyStoreTurns: Turns;
  readonly settings: KmsSettings;
  readonly quotas: Quotas;
  /** The last cryptographic use of each key, by ARN: told by GetKeyLastUsage, and not durable. */
  readonly usage: Map<string, KeyUse>;
}

export interface KmsParts extends Pick<KmsState, "faults" | "directory" | "recipientRules"> {
  readonly database: Database;
  readonly options: MockKmsOptions;
  readonly regions: ReadonlySet<string>;
}

export function openKmsState({ database, options, regions, ...parts }: KmsParts): KmsState {
  const {
    replicationMs = 0,
    primaryRegionUpdateMs = 0,
    grantPropagationMs = 0,
    keyStores = {},
    quotas = "off",
  } = options;
  const secrets = database.table<{ readonly secret: Uint8Array }>("kms.secrets");
  const { secret } = secrets.get("identifiers") ?? { secret: Uint8Array.from(randomBytes(32)) };
  if (!secrets.has("identifiers")) secrets.set("identifiers", { secret });
  const keys = new Keys(openKmsTables(database), secret);
  return {
    ...parts,
    keys,
    newKeyId,
    keyPairs: new KeyPairPool(),
    keyStores: new KeyStoreConnections({ clusters: [], ...keyStores }),
    keyStoreTurns: new Turns(),
    settings: { replicationMs, primaryRegionUpdateMs, grantPropagationMs, regions },
    quotas: new Quotas(quotas),
    usage: keys.usage,
  };
}

export async function closeKmsState({ keyPairs, keyStores }: KmsState): Promise<void> {
  keyPairs.close();
  await keyStores[Symbol.asyncDispose]();
}
