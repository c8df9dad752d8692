/**
 * AssumeRole: from the credentials of a user or of another role's session to those of a role.
 *
 * The role's trust policy and the caller's own policies decide, for AssumeRole itself and for what is passed along
 * (sts:TagSession, sts:SetSourceIdentity). From one role to the next a session lasts an hour at most.
 *
 * Source: STS API Reference, AssumeRole; IAM User Guide, "Roles terms and concepts: Role chaining".
 *
 * @module
 */
import type { CredentialRow, PrincipalRow } from "../directory-rows.ts";
import type { JsonObject } from "../json.ts";
import { checkMfa, type MfaInput } from "./mfa.ts";
import {
  accessDenied,
  findRole,
  notAuthorized,
  type RequestKeys,
  refusedAction,
  type StsRequest,
  validationError,
} from "./request.ts";
import { assumedRoleUser, openSession } from "./session.ts";
import { packedSize, readSessionPolicies, type SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags, type SessionTagInput } from "./session-tags.ts";

export interface AssumeRoleInput extends SessionPolicyInput, SessionTagInput, MfaInput {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly DurationSeconds?: number;
  readonly ExternalId?: string;
  readonly SourceIdentity?: string;
}

const DEFAULT_SECONDS = 3_600;
export const CHAIN_MAX_SECONDS = 3_600;

export function assumeRole(request: StsRequest, input: AssumeRoleInput): JsonObject {
  const { caller, directory, call } = request;
  const { RoleArn: roleArn, RoleSessionName: sessionName } = input;
  const issuer = directory.find(caller.accessKeyId)?.row;
  const role = findRole(directory, roleArn);
  if (caller.type === "root") throw accessDenied("Roles may not be assumed by root accounts.");
  const sessionTags = readSessionTags(input, issuer);
  const sourceIdentity = input.SourceIdentity ?? issuer?.sourceIdentity;
  const self = directory.principal(caller.principalArn);
  const hasMfa = self ? checkMfa(input, self, call.now) : false;
  const actions = [
    "sts:AssumeRole",
    ...(Object.keys(sessionTags.tags).length > 0 ? ["sts:TagSession"] : []),
    ...(sourceIdentity === undefined ? [] : ["sts:SetSourceIdentity"]),
  ];
  const keys: RequestKeys = {
    ...sessionTags.keys,
    "sts:ExternalId": input.ExternalId,
    "sts:RoleSessionName": sessionName,
    "sts:SourceIdentity": sourceIdentity,
    "sts:DurationSeconds": input.DurationSeconds === undefined ? undefined : String(input.DurationSeconds),
    ...(hasMfa ? { "aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0" } : {}),
  };
  const refused = role && caller.type !== "federated-user" ? refusedAction(request, role, actions, keys) : actions[0];
  if (!role || refused !== undefined) throw notAuthorized(caller, refused ?? "sts:AssumeRole", roleArn);
  if (issuer?.sourceIdentity !== undefined && sourceIdentity !== issuer.sourceIdentity)
    throw notAuthorized(caller, "sts:SetSourceIdentity", roleArn);
  const durationSeconds = durationOf(input.DurationSeconds, role, issuer);
  const sessionPolicies = readSessionPolicies(input, { directory, owner: role });
  const size = packedSize(input, sessionTags.tags);
  const isPacked = sessionPolicies !== undefined || Object.keys(sessionTags.tags).length > 0;
  const credentials = openSession(request, {
    ...{ principal: role, sessionName, durationSeconds, hasMfa },
    ...{ sessionTags: sessionTags.tags, transitiveTagKeys: sessionTags.transitiveTagKeys },
    ...(sessionPolicies ? { sessionPolicies } : {}),
    ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
  });
  return {
    Credentials: credentials,
    AssumedRoleUser: assumedRoleUser(role, sessionName),
    ...(isPacked ? { PackedPolicySize: size } : {}),
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
}

/** @throws {AwsFault} `ValidationError`: longer than the role or a chain allows */
export function durationOf(seconds: number | undefined, role: PrincipalRow, issuer?: CredentialRow): number {
  const isChained = issuer?.sessionToken !== undefined && issuer.principalArn.includes(":role/");
  if (isChained && seconds !== undefined && seconds > CHAIN_MAX_SECONDS)
    throw validationError(
      "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    );
  if (seconds !== undefined && seconds > role.maxSessionDurationSeconds)
    throw validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
  return seconds ?? DEFAULT_SECONDS;
}
