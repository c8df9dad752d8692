/**
 * The accounts of this emulated AWS: who exists, with which policies and which keys to sign with.
 *
 * Read once when the emulator starts; a mistake in it is a `ConfigError`, before anything listens.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { NamedPolicy } from "./iam/authorize.ts";
import { type PolicyDocument, PolicyRefusal, parsePolicy } from "./iam/policy.ts";
import type { AuthenticatedCaller } from "./service.ts";
import type { KnownCredential } from "./sigv4/verify.ts";

export interface MockCredential extends KnownCredential {
  /** Of a role's session; `mock-session` if absent. Users have none. */
  readonly sessionName?: string;
}

export interface MockPrincipal {
  readonly type: "role" | "user";
  readonly name: string;
  readonly identityPolicies: readonly PolicyDocument[];
  readonly credentials: readonly MockCredential[];
}

export interface MockAccount {
  /** 12 digits. */
  readonly accountId: string;
  readonly principals: readonly MockPrincipal[];
}

/** A key pair and whom it speaks for. */
export interface DirectoryCredential extends KnownCredential {
  readonly caller: AuthenticatedCaller;
}

export interface Directory {
  readonly find: (accessKeyId: string) => DirectoryCredential | undefined;
  readonly hasAccount: (accountId: string) => boolean;
  /** Whether a user or a role has this ARN. */
  readonly hasPrincipal: (arn: string) => boolean;
}

/** @throws {ConfigError} */
export function createDirectory(accounts: readonly MockAccount[]): Directory {
  const accountIds = new Set<string>();
  const principals = new Set<string>();
  const credentials = new Map<string, DirectoryCredential>();
  for (const [i, { accountId, principals: members }] of accounts.entries()) {
    demand(/^\d{12}$/.test(accountId), `accounts[${i}].accountId`, "12 digits", "another form");
    demand(!accountIds.has(accountId), `accounts[${i}].accountId`, "unique", "a repetition");
    accountIds.add(accountId);
    for (const [j, principal] of members.entries()) {
      const field = `accounts[${i}].principals[${j}]`;
      const arn = principalArn(accountId, principal, field);
      demand(!principals.has(arn), field, "unique", "a repetition");
      principals.add(arn);
      const identityPolicies = readIdentityPolicies(principal, field);
      for (const [k, credential] of principal.credentials.entries()) {
        const at = `${field}.credentials[${k}]`;
        assertCredential(credential, principal.type, at);
        demand(!credentials.has(credential.accessKeyId), `${at}.accessKeyId`, "unique", "a repetition");
        const caller = callerOf(accountId, principal, arn, credential, identityPolicies);
        credentials.set(credential.accessKeyId, { ...credential, caller });
      }
    }
  }
  return {
    find: (accessKeyId) => credentials.get(accessKeyId),
    hasAccount: (accountId) => accountIds.has(accountId),
    hasPrincipal: (arn) => principals.has(arn),
  };
}

function principalArn(accountId: string, { type, name }: MockPrincipal, field: string): string {
  demand(type === "role" || type === "user", `${field}.type`, "role or user", "another");
  demand(/^[\w+=,.@-]{1,64}$/.test(name), `${field}.name`, "1 to 64 of [A-Za-z0-9_+=,.@-]", "another form");
  return `arn:aws:iam::${accountId}:${type}/${name}`;
}

function readIdentityPolicies(principal: MockPrincipal, field: string): readonly NamedPolicy[] {
  return principal.identityPolicies.map((document, index) => {
    try {
      const policy = parsePolicy(JSON.stringify(document), "identity");
      return { name: `identity policy ${index} of ${principal.type}/${principal.name}`, policy };
    } catch (cause) {
      if (!(cause instanceof PolicyRefusal)) throw cause;
      const details = { field: `${field}.identityPolicies[${index}]`, expected: "a policy", actual: cause.message };
      throw new ConfigError("ERR_CONFIG_FIELD_INVALID", details, { cause });
    }
  });
}

function assertCredential(credential: MockCredential, type: MockPrincipal["type"], field: string): void {
  const { accessKeyId, secretAccessKey, sessionToken, sessionName, expiresAt } = credential;
  demand(/^\w{16,128}$/.test(accessKeyId), `${field}.accessKeyId`, "16 to 128 of [A-Za-z0-9_]", "another form");
  demand(secretAccessKey !== "", `${field}.secretAccessKey`, "a text", "empty");
  demand(sessionToken !== "", `${field}.sessionToken`, "absent or a text", "empty");
  demand(type === "user" || sessionToken !== undefined, `${field}.sessionToken`, "a text, for a role", "absent");
  demand(type === "role" || sessionName === undefined, `${field}.sessionName`, "absent, for a user", "present");
  const isName = sessionName === undefined || /^[\w+=,.@-]{2,64}$/.test(sessionName);
  demand(isName, `${field}.sessionName`, "2 to 64 of [A-Za-z0-9_+=,.@-]", "another form");
  const isTime = expiresAt === undefined || !Number.isNaN(expiresAt.getTime());
  demand(isTime, `${field}.expiresAt`, "a time", "not a time");
}

function callerOf(
  accountId: string,
  { type, name }: MockPrincipal,
  arn: string,
  { accessKeyId, sessionName = "mock-session" }: MockCredential,
  identityPolicies: readonly NamedPolicy[],
): AuthenticatedCaller {
  const shown = type === "user" ? arn : `arn:aws:sts::${accountId}:assumed-role/${name}/${sessionName}`;
  return { accountId, type, name, principalArn: arn, arn: shown, accessKeyId, identityPolicies };
}

function demand(holds: boolean, field: string, expected: string, actual: string): void {
  if (!holds) throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
