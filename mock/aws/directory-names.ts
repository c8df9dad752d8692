/**
 * Decides whether what an account is to hold has names of its own: IAM tells users, roles, policies and providers of an
 * account apart by their names, whatever their paths and whatever the case.
 *
 * @module
 */
import { demand } from "./config-field.ts";
import type { DirectoryRows } from "./directory-rows.ts";

type Named = Pick<DirectoryRows, "principals" | "managedPolicies" | "oidcProviders" | "samlProviders">;

/** Its rows among themselves, and against those that are there under another ARN. @throws {ConfigError} */
export function assertUniqueNames(given: Named, field: string, present: Named = NONE): void {
  const members = (rows: Named): readonly NamedRow[] =>
    rows.principals
      .filter(({ type }) => type !== "root")
      .map(({ arn, accountId, type, name }) => ({ arn, name: `${accountId} ${type}/${name}` }));
  assertUnique(members(given), `${field}.principals`, members(present));
  for (const kind of ["managedPolicies", "oidcProviders", "samlProviders"] as const)
    assertUnique(given[kind].map(byArn), `${field}.${kind}`, present[kind].map(byArn));
}

const NONE: Named = { principals: [], managedPolicies: [], oidcProviders: [], samlProviders: [] };

interface NamedRow {
  readonly arn: string;
  readonly name: string;
}

function byArn({ arn }: { readonly arn: string }): NamedRow {
  return { arn, name: arn };
}

function assertUnique(rows: readonly NamedRow[], field: string, present: readonly NamedRow[]): void {
  const taken = new Map(present.map(({ arn, name }) => [name.toLowerCase(), arn]));
  const given = new Set<string>();
  for (const [i, { arn, name: written }] of rows.entries()) {
    const name = written.toLowerCase();
    const isFree = !given.has(name) && (taken.get(name) ?? arn) === arn;
    demand(isFree, `${field}[${i}]`, "a name of its own, whatever the case", "a repetition");
    given.add(name);
  }
}
