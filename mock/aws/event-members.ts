/**
 * What CloudTrail shows of an operation's input or output: no bytes, no secrets, names in lower camel case.
 *
 * One difference: AWS shows the session token that STS gives. Here an event opens nothing.
 *
 * Source: KMS Developer Guide, "Logging AWS KMS API calls with AWS CloudTrail"; IAM User Guide, "Logging IAM and AWS STS
 * API calls with AWS CloudTrail"; their examples.
 *
 * @module
 */
import type { Json, JsonObject } from "./json.ts";

const NEVER = new Set([
  "Recipient",
  "GrantTokens",
  "GrantToken",
  "XksProxyAuthenticationCredential",
  "KeyStorePassword",
  "ContextAssertion",
  "SAMLAssertion",
  "SecretAccessKey",
  "SessionToken",
  "TokenCode",
  "WebIdentityToken",
]);

/** `only`: the members that are shown at all. Null if nothing is left. */
export function shownMembers(value: object, only?: readonly string[]): JsonObject | null {
  const members: [name: string, shown: Json][] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || NEVER.has(name) || (only && !only.includes(name))) continue;
    const shown = show(member, name.startsWith("EncryptionContext"));
    if (shown !== undefined) members.push([lowerCamel(name), shown]);
  }
  return members.length === 0 ? null : Object.fromEntries(members);
}

/** Names inside of a map are the caller's and stay as they are. */
function show(value: unknown, isMap: boolean): Json | undefined {
  if (value instanceof Uint8Array) return undefined;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.flatMap((item) => show(item, isMap) ?? []);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, member]) => {
        const shown = NEVER.has(name) ? undefined : show(member, isMap || name.startsWith("EncryptionContext"));
        return shown === undefined ? [] : [[isMap ? name : lowerCamel(name), shown] as const];
      }),
    );
  return value as Json;
}

function lowerCamel(name: string): string {
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
}
