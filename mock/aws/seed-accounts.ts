/**
 * Puts a seed's accounts into the directory: a principal that is there is replaced, what the seed does not name stays.
 *
 * Who is to have generated credentials keeps those that are there, so seeding twice changes nothing.
 *
 * @module
 */
import type { MockAccount, MockCredential } from "./accounts.ts";
import { invalidField, readInstant } from "./config-field.ts";
import { newCredentials } from "./credentials.ts";
import { Directory } from "./directory.ts";
import { assertUniqueNames } from "./directory-names.ts";
import type { CredentialRow, DirectoryRows } from "./directory-rows.ts";
import { readAccount } from "./directory-rows.ts";
import type { SeedAccount, SeedCredential, SeedCredentials } from "./seed-file.ts";

/** @throws {ConfigError} names the field; nothing is changed then. Gives the accounts that were changed. */
export function seedAccounts(directory: Directory, accounts: readonly SeedAccount[]): readonly string[] {
  const before = directory.snapshot();
  let rows = before;
  const changed: string[] = [];
  for (const [i, account] of accounts.entries()) {
    const merged = mergeAccount(rows, account, `accounts[${i}]`);
    if (JSON.stringify(merged) !== JSON.stringify(rows)) changed.push(account.accountId);
    rows = merged;
  }
  if (changed.length > 0) directory.restore(rows);
  return changed;
}

function mergeAccount(rows: DirectoryRows, account: SeedAccount, field: string): DirectoryRows {
  const { account: given, generated } = withCredentials(account, rows.credentials, field);
  new Directory().addAccount(given, field); // finds what is twice in the account
  const own = markGenerated(readAccount(given, field), generated);
  assertUniqueNames(own, field, rows);
  const named = new Set(
    own.principals.filter(({ type }) => type !== "root" || account.rootCredentials).map(({ arn }) => arn),
  );
  const kept = rows.credentials.filter(({ principalArn }) => !named.has(principalArn));
  for (const { accessKeyId } of own.credentials)
    if ([...kept, ...rows.sessions].some((row) => row.accessKeyId === accessKeyId))
      throw invalidField(field, "new access keys", "one that another principal has");
  const [place] = own.accounts;
  const known = rows.accounts.find(({ accountId }) => accountId === account.accountId);
  if (known && known.partition !== place?.partition)
    throw invalidField(`${field}.partition`, `${known.partition}, where the account is`, "another");
  return {
    accounts: known ? rows.accounts : [...rows.accounts, ...own.accounts],
    principals: overlay(rows.principals, own.principals),
    credentials: [...replaced(rows.credentials, own.credentials, named)],
    sessions: rows.sessions,
    managedPolicies: overlay(rows.managedPolicies, own.managedPolicies),
    oidcProviders: overlay(rows.oidcProviders, own.oidcProviders),
    samlProviders: overlay(rows.samlProviders, own.samlProviders),
  };
}

/** Rows in the place of those with the same ARN; new ones at the end. */
function overlay<Row extends { readonly arn: string }>(present: readonly Row[], given: readonly Row[]): readonly Row[] {
  const byArn = new Map(present.map((row) => [row.arn, row]));
  for (const row of given) byArn.set(row.arn, row);
  return [...byArn.values()];
}

/** Whose credentials are the same keeps its place. */
function replaced(
  present: readonly CredentialRow[],
  given: readonly CredentialRow[],
  named: ReadonlySet<string>,
): readonly CredentialRow[] {
  const isGiven = (row: CredentialRow): boolean => given.some((other) => other.accessKeyId === row.accessKeyId);
  const stays = present.filter((row) => !named.has(row.principalArn) || isGiven(row));
  const byId = new Map(stays.map((row) => [row.accessKeyId, row]));
  for (const row of given) byId.set(row.accessKeyId, row);
  return [...byId.values()];
}

function markGenerated(rows: DirectoryRows, generated: ReadonlySet<string>): DirectoryRows {
  const mark = (row: CredentialRow): CredentialRow =>
    generated.has(row.accessKeyId) ? { ...row, isGenerated: true } : row;
  return { ...rows, credentials: rows.credentials.map(mark) };
}

/** With `generate` carried out; which keys a seed has made, now or before. */
function withCredentials(
  account: SeedAccount,
  present: readonly CredentialRow[],
  field: string,
): { readonly account: MockAccount; readonly generated: ReadonlySet<string> } {
  const { partition = "aws", accountId, principals = [], rootCredentials } = account;
  const iam = `arn:${partition}:iam::${accountId}:`;
  const generated = new Set<string>();
  const of = (given: SeedCredentials | undefined, arn: string, at: string): readonly MockCredential[] => {
    if (given !== "generate") return (given ?? []).map((each, k) => readCredential(each, `${at}[${k}]`));
    const own = present.filter(({ principalArn }) => principalArn === arn);
    for (const { accessKeyId, isGenerated } of own) if (isGenerated) generated.add(accessKeyId);
    if (own.length > 0) return own.map((row) => readCredential(row, at));
    const made = generate(accountId, arn.startsWith(`${iam}role/`));
    generated.add(made.accessKeyId);
    return [made];
  };
  const read = {
    ...account,
    principals: principals.map(({ credentials, ...principal }, j) => ({
      ...principal,
      identityPolicies: principal.identityPolicies ?? [],
      credentials: of(
        credentials,
        `${iam}${principal.type}${principal.path ?? "/"}${principal.name}`,
        `${field}.principals[${j}].credentials`,
      ),
    })),
    ...(rootCredentials === undefined
      ? {}
      : { rootCredentials: of(rootCredentials, `${iam}root`, `${field}.rootCredentials`) }),
  } as MockAccount;
  return { account: read, generated };
}

function readCredential({ expiresAt, ...rest }: SeedCredential, field: string): MockCredential {
  const { accessKeyId, secretAccessKey, sessionToken, sessionName } = rest;
  return {
    ...{ accessKeyId, secretAccessKey },
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(sessionName === undefined ? {} : { sessionName }),
    ...(expiresAt === undefined ? {} : { expiresAt: readInstant(expiresAt, `${field}.expiresAt`) }),
  };
}

/** A role's are a session's, `ASIA…`; a user's are for good, `AKIA…`. */
function generate(accountId: string, isRole: boolean): MockCredential {
  const { accessKeyId, secretAccessKey, sessionToken } = newCredentials(accountId);
  if (isRole) return { accessKeyId, secretAccessKey, sessionToken };
  return { accessKeyId: accessKeyId.replace(/^ASIA/, "AKIA"), secretAccessKey };
}
