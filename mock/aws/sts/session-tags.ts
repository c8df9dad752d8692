/**
 * Reads the tags of a session, and those that go on into the next session of a role chain.
 *
 * Keys are compared without case, and those that begin with `aws:` are AWS's own. A transitive tag of the calling session
 * is inherited and can not be set anew.
 *
 * Source: IAM User Guide, "Pass session tags in AWS STS"; messages as recorded from AWS.
 *
 * @module
 */
import type { CredentialRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { RequestKeys } from "./request.ts";

export interface SessionTagInput {
  readonly Tags?: readonly { readonly Key: string; readonly Value: string }[];
  readonly TransitiveTagKeys?: readonly string[];
}

export interface SessionTags {
  /** What was passed, and what was inherited. */
  readonly tags: Readonly<Record<string, string>>;
  readonly passed: Readonly<Record<string, string>>;
  readonly inherited: Readonly<Record<string, string>>;
  readonly transitiveTagKeys: readonly string[];
  /** `aws:RequestTag/…` and the like. */
  readonly keys: RequestKeys;
}

/** `issuer` is the calling session, in a role chain. @throws {AwsFault} `InvalidParameterValue` */
export function readSessionTags(
  { Tags: given = [], TransitiveTagKeys: transitive = [] }: SessionTagInput,
  issuer?: CredentialRow,
): SessionTags {
  const keys = new Set(given.map(({ Key }) => Key.toLowerCase()));
  if (keys.size < given.length)
    throw invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
  if ([...keys].some((key) => key.startsWith("aws:")))
    throw invalid("Tag keys that begin with aws: are reserved for AWS.");
  if (transitive.some((key) => !keys.has(key.toLowerCase())))
    throw invalid("The specified transitive tag key must be included in the requested tags.");
  const inheritedKeys = issuer?.transitiveTagKeys ?? [];
  if (inheritedKeys.some((key) => keys.has(key.toLowerCase())))
    throw invalid(
      "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
    );
  const passed = Object.fromEntries(given.map(({ Key, Value }) => [Key, Value]));
  const inherited = Object.fromEntries(
    Object.entries(issuer?.sessionTags ?? {}).filter(([key]) => inheritedKeys.includes(key)),
  );
  const tags = { ...inherited, ...passed };
  const written = given.filter(({ Key }) => transitive.some((key) => key.toLowerCase() === Key.toLowerCase()));
  const transitiveTagKeys = [...inheritedKeys, ...written.map(({ Key }) => Key)];
  return {
    ...{ tags, passed, inherited, transitiveTagKeys },
    keys: {
      ...Object.fromEntries(Object.entries(tags).map(([key, value]) => [`aws:RequestTag/${key}`, value])),
      "aws:TagKeys": Object.keys(tags),
      "sts:TransitiveTagKeys": transitiveTagKeys,
    },
  };
}

/** What an event says of tags that came in a token or an assertion. */
export function shownTags({ passed, transitiveTagKeys }: SessionTags): JsonObject {
  if (Object.keys(passed).length === 0) return {};
  return { principalTags: passed, ...(transitiveTagKeys.length > 0 ? { transitiveTagKeys } : {}) };
}

function invalid(message: string): AwsFault {
  return new AwsFault("InvalidParameterValue", message);
}
