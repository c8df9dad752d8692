/**
 * The directory's rows: plain JSON each, so that they can live in a table; and how an account is read into them.
 *
 * A mistake in an account is a `ConfigError` that names the field.
 *
 * @module
 */
import type { JsonWebKey } from "node:crypto";
import type { MockAccount, MockCredential, MockMfaDevice, MockPrincipal } from "./accounts.ts";
import { demand, invalidField } from "./config-field.ts";
import { uniqueId } from "./credentials.ts";
import { readOidcProvider, readSamlProvider } from "./directory-providers.ts";
import { type PolicyDocument, type PolicyKind, PolicyRefusal, parsePolicy } from "./iam/policy.ts";
import type { Partition } from "./iam/principal.ts";
import { PARTITIONS } from "./partition.ts";
import type { Table } from "./state/tables.ts";
import { readTrustPolicy } from "./sts/trust-policy.ts";

export interface AccountRow {
  readonly accountId: string;
  readonly partition: Partition;
}

export interface PrincipalRow extends AccountRow {
  readonly arn: string;
  readonly type: "root" | "user" | "role";
  readonly name: string;
  /** `AIDA…`, `AROA…`; of a root user the account. */
  readonly id: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly identityPolicies: readonly PolicyDocument[];
  readonly permissionsBoundary?: PolicyDocument;
  readonly trustPolicy?: PolicyDocument;
  readonly maxSessionDurationSeconds: number;
  readonly mfaDevices: readonly MockMfaDevice[];
}

/** A key pair: for good, or of a session. */
export interface CredentialRow {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** ISO 8601. */
  readonly expiresAt?: string;
  /** The user, role or root that it speaks for. */
  readonly principalArn: string;
  /** What the caller is called: of a role its session's name, of a federated user the name it was given. */
  readonly sessionName?: string;
  readonly isFederatedUser?: boolean;
  readonly federatedProvider?: string;
  /** Lower-case condition key → values. */
  readonly context?: Readonly<Record<string, readonly string[]>>;
  /** When MFA vouched for the session; ISO 8601. */
  readonly mfaAt?: string;
  readonly sessionTags?: Readonly<Record<string, string>>;
  readonly transitiveTagKeys?: readonly string[];
  readonly sourceIdentity?: string;
  /** Absent: none were given. */
  readonly sessionPolicies?: readonly { readonly name: string; readonly document: PolicyDocument }[];
  /** A seed made it: whoever seeds its principal again may be told. */
  readonly isGenerated?: boolean;
}

export interface SessionOptions {
  /** 20 000 if absent. */
  readonly maxSessions?: number;
  /** Keeps the sessions beyond the process. */
  readonly sessions?: Table<CredentialRow>;
}

export interface ManagedPolicyRow extends AccountRow {
  readonly arn: string;
  readonly document: PolicyDocument;
}
export interface OidcProviderRow extends AccountRow {
  readonly arn: string;
  readonly url: string;
  readonly clientIds: readonly string[];
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
}
export interface SamlProviderRow extends AccountRow {
  readonly arn: string;
  readonly issuer: string;
  readonly certificates: readonly string[];
}

/** All that a directory holds. */
export interface DirectoryRows {
  readonly accounts: readonly AccountRow[];
  readonly principals: readonly PrincipalRow[];
  readonly credentials: readonly CredentialRow[];
  readonly sessions: readonly CredentialRow[];
  readonly managedPolicies: readonly ManagedPolicyRow[];
  readonly oidcProviders: readonly OidcProviderRow[];
  readonly samlProviders: readonly SamlProviderRow[];
}

const NAME = /^[\w+=,.@-]{1,64}$/;
const POLICY_NAME = "1 to 128 of [A-Za-z0-9_+=,.@-]";
/** The alphabets of AWS's own, base64, and what stands for them in tests: nothing that ends a line of a file. */
const SECRET = /^[A-Za-z0-9+/=_.-]{1,128}$/;
const TOKEN = /^[A-Za-z0-9+/=_.-]{1,16384}$/;
const PATH = /^\/([!-.0-~]+\/)*$/;

/** @throws {ConfigError} `field` is the account's place, e.g. `accounts[0]` */
export function readAccount(account: MockAccount, field: string): DirectoryRows {
  const { accountId, partition = "aws", principals, rootCredentials = [] } = account;
  demand(/^\d{12}$/.test(accountId), `${field}.accountId`, "12 digits", "another form");
  demand(PARTITIONS.includes(partition), `${field}.partition`, PARTITIONS.join(", "), "another");
  const place = { accountId, partition };
  const members = principals.map((principal, j) => readPrincipal(place, principal, `${field}.principals[${j}]`));
  const root = rootRow(place);
  const ofRoot = rootCredentials.map((credential, k) =>
    readCredential(root, credential, `${field}.rootCredentials[${k}]`),
  );
  return {
    accounts: [place],
    principals: [root, ...members.map(({ row }) => row)],
    credentials: [...ofRoot, ...members.flatMap(({ credentials }) => credentials)],
    sessions: [],
    managedPolicies: (account.managedPolicies ?? []).map(({ name, document }, k) => {
      readPolicy(document, "identity", `${field}.managedPolicies[${k}]`);
      demand(/^[\w+=,.@-]{1,128}$/.test(name), `${field}.managedPolicies[${k}].name`, POLICY_NAME, "another form");
      return { ...place, arn: `arn:${partition}:iam::${accountId}:policy/${name}`, document };
    }),
    oidcProviders: (account.oidcProviders ?? []).map((provider, k) =>
      readOidcProvider(place, provider, `${field}.oidcProviders[${k}]`),
    ),
    samlProviders: (account.samlProviders ?? []).map((provider, k) =>
      readSamlProvider(place, provider, `${field}.samlProviders[${k}]`),
    ),
  };
}

function rootRow(place: AccountRow): PrincipalRow {
  const arn = `arn:${place.partition}:iam::${place.accountId}:root`;
  const everything: PolicyDocument = {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
  };
  return {
    ...place,
    ...{ arn, type: "root", name: "root", id: place.accountId, tags: {}, identityPolicies: [everything] },
    ...{ maxSessionDurationSeconds: 3_600, mfaDevices: [] },
  };
}

function readPrincipal(
  place: AccountRow,
  principal: MockPrincipal,
  field: string,
): { readonly row: PrincipalRow; readonly credentials: readonly CredentialRow[] } {
  const { type, name, path = "/", identityPolicies, permissionsBoundary, trustPolicy, tags = {} } = principal;
  const { maxSessionDurationSeconds = 3_600, mfaDevices = [] } = principal;
  const isRole = type === "role";
  demand(isRole || type === "user", `${field}.type`, "role or user", "another");
  demand(NAME.test(name), `${field}.name`, "1 to 64 of [A-Za-z0-9_+=,.@-]", "another form");
  demand(PATH.test(path) && path.length <= 512, `${field}.path`, "a path like /team/", "another form");
  for (const [index, document] of identityPolicies.entries())
    readPolicy(document, "identity", `${field}.identityPolicies[${index}]`);
  if (permissionsBoundary) readPolicy(permissionsBoundary, "identity", `${field}.permissionsBoundary`);
  if (trustPolicy) refusing(`${field}.trustPolicy`, () => readTrustPolicy(trustPolicy));
  demand(isRole || trustPolicy === undefined, `${field}.trustPolicy`, "absent, for a user", "present");
  const durationField = `${field}.maxSessionDurationSeconds`;
  demand(isRole || principal.maxSessionDurationSeconds === undefined, durationField, "absent, for a user", "present");
  const isDuration = maxSessionDurationSeconds >= 3_600 && maxSessionDurationSeconds <= 43_200;
  demand(isDuration, durationField, "3600 to 43200", "not");
  demand(!isRole || principal.mfaDevices === undefined, `${field}.mfaDevices`, "absent, for a role", "present");
  for (const [k, device] of mfaDevices.entries()) assertDevice(device, `${field}.mfaDevices[${k}]`);
  const arn = `arn:${place.partition}:iam::${place.accountId}:${type}${path}${name}`;
  const row: PrincipalRow = {
    ...place,
    ...{ arn, type, name, id: uniqueId(isRole ? "AROA" : "AIDA", arn), tags, identityPolicies },
    ...{ maxSessionDurationSeconds, mfaDevices },
    ...(permissionsBoundary ? { permissionsBoundary } : {}),
    ...(trustPolicy ? { trustPolicy } : {}),
  };
  const credentials = principal.credentials.map((credential, k) =>
    readCredential(row, credential, `${field}.credentials[${k}]`),
  );
  return { row, credentials };
}

function assertDevice({ serialNumber, seed }: MockMfaDevice, field: string): void {
  demand(/^[\w+=/:,.@-]{9,256}$/.test(serialNumber), `${field}.serialNumber`, "like arn:…:mfa/alice", "another form");
  demand(/^[A-Z2-7]{2,}=*$/i.test(seed), `${field}.seed`, "base32", "another form, or empty");
}

function readCredential({ arn, type }: PrincipalRow, credential: MockCredential, field: string): CredentialRow {
  const { accessKeyId, secretAccessKey, sessionToken, sessionName, expiresAt } = credential;
  demand(/^\w{16,128}$/.test(accessKeyId), `${field}.accessKeyId`, "16 to 128 of [A-Za-z0-9_]", "another form");
  demand(SECRET.test(secretAccessKey), `${field}.secretAccessKey`, "1 to 128 of [A-Za-z0-9+/=_.-]", "another form");
  const isToken = sessionToken === undefined || TOKEN.test(sessionToken);
  demand(isToken, `${field}.sessionToken`, "1 to 16384 of [A-Za-z0-9+/=_.-]", "another form");
  demand(type !== "role" || sessionToken !== undefined, `${field}.sessionToken`, "a text, for a role", "absent");
  demand(type === "role" || sessionName === undefined, `${field}.sessionName`, "absent, for a user", "present");
  const isName = sessionName === undefined || /^[\w+=,.@-]{2,64}$/.test(sessionName);
  demand(isName, `${field}.sessionName`, "2 to 64 of [A-Za-z0-9_+=,.@-]", "another form");
  const isTime = expiresAt === undefined || !Number.isNaN(expiresAt.getTime());
  demand(isTime, `${field}.expiresAt`, "a time", "not a time");
  return {
    ...{ accessKeyId, secretAccessKey, principalArn: arn },
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(type === "role" ? { sessionName: sessionName ?? "mock-session" } : {}),
    ...(expiresAt ? { expiresAt: expiresAt.toISOString() } : {}),
  };
}

function readPolicy(document: PolicyDocument, kind: PolicyKind, field: string): void {
  refusing(field, () => parsePolicy(JSON.stringify(document), kind));
}

function refusing(field: string, read: () => unknown): void {
  try {
    read();
  } catch (cause) {
    if (!(cause instanceof PolicyRefusal)) throw cause;
    throw invalidField(field, "a policy", cause.message, { cause });
  }
}
