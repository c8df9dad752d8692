/**
 * What KMS keeps: keys, the material that related keys share, aliases, grants, custom key stores.
 *
 * Rows are plain data and are replaced, never changed, so that they can be kept, copied and restored. Key material is
 * in `FamilyRow` only.
 *
 * @module
 */
import type {
  ConnectionErrorCodeType,
  ConnectionStateType,
  CustomKeyStoreType,
  ExpirationModelType,
  GrantConstraints,
  GrantOperation,
  OriginType,
  XksProxyConnectivityType,
} from "@aws-sdk/client-kms";
import type { Database } from "../state/database.ts";
import type { Table } from "../state/tables.ts";
import type { KeySpec, KeyUsage } from "./algorithms/index.ts";

/** One KMS key in one Region. */
export interface KeyRow {
  readonly arn: string;
  readonly partition: string;
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  readonly familyId: string;
  readonly manager: "AWS" | "CUSTOMER";
  readonly spec: KeySpec;
  readonly usage: KeyUsage;
  readonly origin: OriginType;
  readonly createdAt: Date;
  readonly description: string;
  readonly policy: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly enabled: boolean;
  readonly multiRegion: boolean;
  /** A replica is not usable before. */
  readonly creatingUntil?: Date;
  /** A key whose primary Region changes can not be managed before. */
  readonly updatingUntil?: Date;
  readonly deletion?: {
    readonly windowDays: number;
    /** Absent while a primary key waits for its replicas to go. */
    readonly date?: Date;
  };
  /** Imported material that this key holds, by material id; only with origin EXTERNAL. */
  readonly imported: Readonly<Record<string, ImportedMaterial>>;
  readonly keyStore?: { readonly id: string; readonly backingKeyId: string };
}

export interface ImportedMaterial {
  readonly expirationModel: ExpirationModelType;
  readonly validTo?: Date;
  readonly description?: string;
  readonly importedAt: Date;
}

/** What related multi-Region keys share; a single-Region key is a family of one. */
export interface FamilyRow {
  readonly id: string;
  readonly primaryRegion: string;
  /** Oldest first; which one is current says `currentMaterialId`. */
  readonly materials: readonly MaterialRow[];
  readonly currentMaterialId?: string;
  readonly rotation: {
    readonly enabled: boolean;
    readonly periodDays: number;
    readonly nextAt?: Date;
    readonly onDemandCount: number;
  };
}

export interface MaterialRow {
  /** 64 hex digits. */
  readonly id: string;
  /** 32 bytes that stand for it in a ciphertext. */
  readonly identifier: Uint8Array;
  /** Symmetric and HMAC keys: raw bytes; asymmetric keys: PKCS#8. Empty in a custom key store. */
  readonly bytes: Uint8Array;
  readonly createdAt: Date;
  /** How it became the current one; absent for the first. */
  readonly rotation?: { readonly at: Date; readonly type: "AUTOMATIC" | "ON_DEMAND" };
}

export interface AliasRow {
  readonly arn: string;
  readonly name: string;
  readonly accountId: string;
  readonly region: string;
  readonly partition: string;
  /** ARN. */
  readonly targetKey: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface GrantRow {
  /** 64 hex digits. */
  readonly id: string;
  readonly keyArn: string;
  readonly name?: string;
  readonly granteePrincipal: string;
  readonly retiringPrincipal?: string;
  readonly operations: readonly GrantOperation[];
  readonly constraints?: GrantConstraints;
  readonly issuingAccount: string;
  readonly createdAt: Date;
  /** Without its token the grant counts from then on. */
  readonly effectiveAt: Date;
  /** SHA-256 of its tokens, hex. */
  readonly tokens: readonly string[];
}

export interface CustomKeyStoreRow {
  readonly id: string;
  readonly accountId: string;
  readonly region: string;
  readonly name: string;
  readonly type: CustomKeyStoreType;
  readonly createdAt: Date;
  readonly state: ConnectionStateType;
  readonly error?: ConnectionErrorCodeType;
  readonly cloudHsm?: {
    readonly clusterId: string;
    readonly trustAnchorCertificate: string;
    readonly keyStorePassword: string;
  };
  readonly xks?: {
    readonly uriEndpoint: string;
    readonly uriPath: string;
    readonly connectivity: XksProxyConnectivityType;
    readonly vpcEndpointServiceName?: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };
}

/** A wrapping key that was handed out for an import, until it expires. */
export interface ImportTokenRow {
  /** SHA-256 of the token, hex. */
  readonly id: string;
  readonly keyArn: string;
  readonly algorithm: string;
  /** PKCS#8. */
  readonly privateKey: Uint8Array;
  readonly validTo: Date;
}

export interface KmsTables {
  readonly keys: Table<KeyRow, "family" | "scope">;
  readonly families: Table<FamilyRow, "identifier">;
  readonly aliases: Table<AliasRow, "key" | "scope">;
  readonly grants: Table<GrantRow, "key" | "token" | "retiringPrincipal">;
  readonly keyStores: Table<CustomKeyStoreRow, "scope">;
  readonly importTokens: Table<ImportTokenRow, "key">;
}

/** Account and Region together, as an index key. */
export function scopeKey({ accountId, region }: { readonly accountId: string; readonly region: string }): string {
  return `${accountId} ${region}`;
}

export function openKmsTables(database: Database): KmsTables {
  return {
    keys: database.table<KeyRow, "family" | "scope">("kms.keys", {
      indexes: { family: ({ familyId }) => [familyId], scope: (row) => [scopeKey(row)] },
    }),
    families: database.table<FamilyRow, "identifier">("kms.families", {
      indexes: { identifier: ({ materials }) => materials.map(({ identifier }) => identifierKey(identifier)) },
    }),
    aliases: database.table<AliasRow, "key" | "scope">("kms.aliases", {
      indexes: { key: ({ targetKey }) => [targetKey], scope: (row) => [scopeKey(row)] },
    }),
    grants: database.table<GrantRow, "key" | "token" | "retiringPrincipal">("kms.grants", {
      indexes: {
        key: ({ keyArn }) => [keyArn],
        token: ({ tokens }) => tokens,
        retiringPrincipal: ({ retiringPrincipal }) => (retiringPrincipal === undefined ? [] : [retiringPrincipal]),
      },
    }),
    keyStores: database.table<CustomKeyStoreRow, "scope">("kms.key-stores", {
      indexes: { scope: (row) => [scopeKey(row)] },
    }),
    importTokens: database.table<ImportTokenRow, "key">("kms.import-tokens", {
      indexes: { key: ({ keyArn }) => [keyArn] },
    }),
  };
}

/** The index key of a ciphertext's 32 bytes. */
export function identifierKey(identifier: Uint8Array): string {
  return Buffer.from(identifier).toString("latin1");
}
