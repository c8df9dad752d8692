/**
 * GetSessionToken and GetFederationToken: from a user's own keys to keys that run out.
 *
 * The first gives the user itself again, with or without MFA; the second a federated user, who may do what the user and
 * the policies that were passed both allow. Neither is given to a session (`session-limits.ts`).
 *
 * Source: STS API Reference, GetSessionToken, GetFederationToken; IAM User Guide, "Compare AWS STS credentials".
 *
 * @module
 */
import type { PrincipalRow } from "../directory-rows.ts";
import type { JsonObject } from "../json.ts";
import { checkMfa, type MfaInput } from "./mfa.ts";
import { authorizeOwn, type StsRequest } from "./request.ts";
import { openSession } from "./session.ts";
import { packedSize, readSessionPolicies, type SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags, type SessionTagInput } from "./session-tags.ts";

const DEFAULT_SECONDS = 43_200;
const ROOT_MAX_SECONDS = 3_600;

export function getSessionToken(
  request: StsRequest,
  input: MfaInput & { readonly DurationSeconds?: number },
): JsonObject {
  const principal = ownerOf(request);
  const hasMfa = checkMfa(request, input, principal);
  const durationSeconds = durationOf(principal, input.DurationSeconds);
  return { Credentials: openSession(request, { principal, durationSeconds, hasMfa }) };
}

export interface FederationTokenInput extends SessionPolicyInput, SessionTagInput {
  readonly Name: string;
  readonly DurationSeconds?: number;
}

export function getFederationToken(request: StsRequest, input: FederationTokenInput): JsonObject {
  const principal = ownerOf(request);
  const { partition, accountId } = principal;
  const { Name: name } = input;
  const arn = `arn:${partition}:sts::${accountId}:federated-user/${name}`;
  const { tags, keys } = readSessionTags(input);
  authorizeOwn(request, "sts:GetFederationToken", arn, keys);
  if (Object.keys(tags).length > 0) authorizeOwn(request, "sts:TagSession", arn, keys);
  const sessionPolicies = readSessionPolicies(input, { directory: request.directory, owner: principal }) ?? [];
  const size = packedSize(input, tags);
  const isPacked = sessionPolicies.length > 0 || Object.keys(tags).length > 0;
  const credentials = openSession(request, {
    ...{ principal, sessionName: name, isFederatedUser: true, hasMfa: false, sessionPolicies, sessionTags: tags },
    durationSeconds: durationOf(principal, input.DurationSeconds),
  });
  return {
    Credentials: credentials,
    FederatedUser: { FederatedUserId: `${accountId}:${name}`, Arn: arn },
    PackedPolicySize: isPacked ? size : 0,
  };
}

function ownerOf({ caller, directory }: StsRequest): PrincipalRow {
  const principal = directory.principal(caller.principalArn);
  if (!principal) throw new TypeError(`${caller.principalArn} has keys of its own and is not in the directory`);
  return principal;
}

function durationOf({ type }: PrincipalRow, seconds: number = DEFAULT_SECONDS): number {
  return type === "root" ? Math.min(seconds, ROOT_MAX_SECONDS) : seconds;
}
