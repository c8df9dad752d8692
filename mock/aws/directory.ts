/**
 * The accounts of this emulated AWS while it runs: lookups by access key, by ARN, and the sessions that STS makes.
 *
 * Rows are plain and parsed when they are asked for; who calls is put together anew after each change of an account, so
 * a policy that changes counts for sessions that are open. Sessions are bounded: when there is no room, those that have
 * run out go; if none has, the new one is refused. Where the state is durable, sessions outlive the process with it.
 *
 * @module
 */
import type { MockAccount } from "./accounts.ts";
import { demand } from "./config-field.ts";
import { assertUniqueNames } from "./directory-names.ts";
import {
  type CredentialRow,
  type DirectoryRows,
  type ManagedPolicyRow,
  type OidcProviderRow,
  type PrincipalRow,
  readAccount,
  type SamlProviderRow,
  type SessionOptions,
} from "./directory-rows.ts";
import { AwsFault } from "./fault.ts";
import type { NamedPolicy } from "./iam/authorize.ts";
import { type PolicyDocument, parsePolicy } from "./iam/policy.ts";
import type { AuthenticatedCaller } from "./service.ts";
import type { KnownCredential } from "./sigv4/verify.ts";
import type { Table } from "./state/tables.ts";

export type { MockAccount, MockCredential, MockPrincipal } from "./accounts.ts";

/** A key pair and whom it speaks for. */
export interface DirectoryCredential extends KnownCredential {
  readonly caller: AuthenticatedCaller;
  readonly row: CredentialRow;
}

const DEFAULT_MAX_SESSIONS = 20_000;

export class Directory {
  readonly #accounts = new Map<string, DirectoryRows["accounts"][number]>();
  readonly #principals = new Map<string, PrincipalRow>();
  /** Sessions name their role without its path. */
  readonly #roleArns = new Map<string, string>();
  readonly #credentials = new Map<string, CredentialRow>();
  readonly #sessions = new Map<string, CredentialRow>();
  readonly #managedPolicies = new Map<string, ManagedPolicyRow>();
  readonly #oidcProviders = new Map<string, OidcProviderRow>();
  readonly #samlProviders = new Map<string, SamlProviderRow>();
  readonly #found = new Map<string, DirectoryCredential>();
  readonly #maxSessions: number;
  readonly #kept: Table<CredentialRow> | undefined;

  constructor({ maxSessions = DEFAULT_MAX_SESSIONS, sessions }: SessionOptions = {}) {
    this.#maxSessions = maxSessions;
    this.#kept = sessions;
    for (const row of sessions?.values() ?? []) this.#sessions.set(row.accessKeyId, row);
  }

  /** @throws {ConfigError} the account is not usable, or something in it exists */
  addAccount(account: MockAccount, field = "account"): void {
    const rows = readAccount(account, field);
    demand(!this.#accounts.has(account.accountId), `${field}.accountId`, "unique", "a repetition");
    assertNew(this.#credentials, this.#sessions, account, field);
    assertUniqueNames(rows, field);
    this.#add(rows);
  }

  removeAccount(accountId: string): void {
    const kept = this.snapshot();
    const ofOther = (row: { readonly accountId: string }): boolean => row.accountId !== accountId;
    const gone = new Set(kept.principals.filter((row) => !ofOther(row)).map(({ arn }) => arn));
    const speaksForOther = (row: CredentialRow): boolean => !gone.has(row.principalArn);
    this.restore({
      accounts: kept.accounts.filter(ofOther),
      principals: kept.principals.filter(ofOther),
      credentials: kept.credentials.filter(speaksForOther),
      sessions: kept.sessions.filter(speaksForOther),
      managedPolicies: kept.managedPolicies.filter(ofOther),
      oidcProviders: kept.oidcProviders.filter(ofOther),
      samlProviders: kept.samlProviders.filter(ofOther),
    });
  }

  find(accessKeyId: string): DirectoryCredential | undefined {
    const known = this.#found.get(accessKeyId);
    if (known) return known;
    const row = this.#credentials.get(accessKeyId) ?? this.#sessions.get(accessKeyId);
    const principal = row && this.#principals.get(row.principalArn);
    if (!row || !principal) return undefined;
    const { secretAccessKey, sessionToken, expiresAt } = row;
    const found = {
      ...{ accessKeyId, secretAccessKey, row, caller: callerOf(row, principal) },
      ...(sessionToken === undefined ? {} : { sessionToken }),
      ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }),
    };
    this.#found.set(accessKeyId, found);
    return found;
  }

  hasAccount(accountId: string): boolean {
    return this.#accounts.has(accountId);
  }

  /** Whether a user or a role has this ARN; a role also by name, as the ARNs of its sessions have it. */
  hasPrincipal(arn: string): boolean {
    return this.principal(arn) !== undefined;
  }

  principal(arn: string): PrincipalRow | undefined {
    return this.#principals.get(arn) ?? this.#principals.get(this.#roleArns.get(arn) ?? "");
  }

  managedPolicy(arn: string): ManagedPolicyRow | undefined {
    return this.#managedPolicies.get(arn);
  }

  oidcProvider(arn: string): OidcProviderRow | undefined {
    return this.#oidcProviders.get(arn);
  }

  samlProvider(arn: string): SamlProviderRow | undefined {
    return this.#samlProviders.get(arn);
  }

  /** @throws {AwsFault} `ThrottlingException`: no room, and no session has run out */
  addSession(row: CredentialRow, now: Date): void {
    if (this.#sessions.size >= this.#maxSessions) this.#dropExpired(now);
    if (this.#sessions.size >= this.#maxSessions) throw new AwsFault("ThrottlingException", "Rate exceeded");
    this.#sessions.set(row.accessKeyId, row);
    this.#kept?.set(row.accessKeyId, row);
  }

  /** All rows, as plain JSON. */
  snapshot(): DirectoryRows {
    return {
      accounts: [...this.#accounts.values()],
      principals: [...this.#principals.values()],
      credentials: [...this.#credentials.values()],
      sessions: [...this.#sessions.values()],
      managedPolicies: [...this.#managedPolicies.values()],
      oidcProviders: [...this.#oidcProviders.values()],
      samlProviders: [...this.#samlProviders.values()],
    };
  }

  /** Puts the rows of a snapshot in the place of all that is. */
  restore(rows: DirectoryRows): void {
    for (const table of [this.#accounts, this.#principals, this.#roleArns, this.#credentials, this.#sessions])
      table.clear();
    for (const table of [this.#managedPolicies, this.#oidcProviders, this.#samlProviders]) table.clear();
    this.#add(rows);
    for (const id of [...(this.#kept?.ids() ?? [])]) if (!this.#sessions.has(id)) this.#kept?.delete(id);
    for (const row of rows.sessions) if (!this.#kept?.has(row.accessKeyId)) this.#kept?.set(row.accessKeyId, row);
  }

  #add(rows: DirectoryRows): void {
    this.#found.clear();
    for (const row of rows.accounts) this.#accounts.set(row.accountId, row);
    for (const row of rows.principals) {
      this.#principals.set(row.arn, row);
      if (row.type === "role")
        this.#roleArns.set(`arn:${row.partition}:iam::${row.accountId}:role/${row.name}`, row.arn);
    }
    for (const row of rows.credentials) this.#credentials.set(row.accessKeyId, row);
    for (const row of rows.sessions) this.#sessions.set(row.accessKeyId, row);
    for (const row of rows.managedPolicies) this.#managedPolicies.set(row.arn, row);
    for (const row of rows.oidcProviders) this.#oidcProviders.set(row.arn, row);
    for (const row of rows.samlProviders) this.#samlProviders.set(row.arn, row);
  }

  #dropExpired(now: Date): void {
    for (const [accessKeyId, { expiresAt }] of this.#sessions)
      if (expiresAt !== undefined && new Date(expiresAt) <= now) {
        this.#sessions.delete(accessKeyId);
        this.#kept?.delete(accessKeyId);
        this.#found.delete(accessKeyId);
      }
  }
}

/** @throws {ConfigError} */
export function createDirectory(accounts: readonly MockAccount[], options: SessionOptions = {}): Directory {
  const directory = new Directory(options);
  for (const [i, account] of accounts.entries()) directory.addAccount(account, `accounts[${i}]`);
  return directory;
}

function assertNew(
  credentials: ReadonlyMap<string, CredentialRow>,
  sessions: ReadonlyMap<string, CredentialRow>,
  { principals, rootCredentials = [] }: MockAccount,
  field: string,
): void {
  const given = new Set<string>();
  const check = (accessKeyId: string, at: string): void => {
    const isNew = !given.has(accessKeyId) && !credentials.has(accessKeyId) && !sessions.has(accessKeyId);
    demand(isNew, `${at}.accessKeyId`, "unique", "a repetition");
    given.add(accessKeyId);
  };
  for (const [k, credential] of rootCredentials.entries())
    check(credential.accessKeyId, `${field}.rootCredentials[${k}]`);
  for (const [j, principal] of principals.entries())
    for (const [k, credential] of principal.credentials.entries())
      check(credential.accessKeyId, `${field}.principals[${j}].credentials[${k}]`);
}

function callerOf(row: CredentialRow, principal: PrincipalRow): AuthenticatedCaller {
  const { partition, accountId, type, name, arn } = principal;
  const { accessKeyId, sessionName = "", isFederatedUser = false, federatedProvider, mfaAt } = row;
  const tags = { ...principal.tags, ...row.sessionTags };
  const sessionPolicies = row.sessionPolicies?.map((given) => named(given.name, given.document));
  const federatedArn = `arn:${partition}:sts::${accountId}:federated-user/${sessionName}`;
  const sessionArn = `arn:${partition}:sts::${accountId}:assumed-role/${name}/${sessionName}`;
  return {
    ...{ partition, accountId, accessKeyId, userId: userIdOf(row, principal) },
    type: isFederatedUser ? "federated-user" : type,
    name: isFederatedUser ? sessionName : name,
    principalArn: isFederatedUser ? federatedArn : arn,
    arn: isFederatedUser ? federatedArn : type === "role" ? sessionArn : arn,
    context: new Map([
      ...Object.entries(tags).map(([key, value]) => [`aws:principaltag/${key.toLowerCase()}`, [value]] as const),
      ...Object.entries(row.context ?? {}),
    ]),
    identityPolicies: principal.identityPolicies.map((document, index) =>
      named(`identity policy ${index} of ${type}/${name}`, document),
    ),
    ...(principal.permissionsBoundary
      ? { permissionsBoundary: named(`permissions boundary of ${type}/${name}`, principal.permissionsBoundary) }
      : {}),
    ...(sessionPolicies ? { sessionPolicies } : {}),
    ...(isFederatedUser ? { issuerArn: arn } : {}),
    ...(federatedProvider === undefined ? {} : { federatedProvider }),
    ...(mfaAt === undefined ? {} : { mfaAt }),
  };
}

function userIdOf(
  { sessionName = "", isFederatedUser = false }: CredentialRow,
  { type, id, accountId }: PrincipalRow,
): string {
  if (isFederatedUser) return `${accountId}:${sessionName}`;
  return type === "role" ? `${id}:${sessionName}` : id;
}

function named(name: string, document: PolicyDocument): NamedPolicy {
  return { name, policy: parsePolicy(JSON.stringify(document), "identity") };
}
