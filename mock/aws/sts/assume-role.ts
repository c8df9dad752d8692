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
import type { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import { checkMfa, type MfaInput } from "./mfa.ts";
import { accessDenied, findRole, notAuthorized, type StsRequest, validationError } from "./request.ts";
import { openRoleSession } from "./role-session.ts";
import type { SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags, type SessionTagInput } from "./session-tags.ts";

export interface AssumeRoleInput extends SessionPolicyInput, SessionTagInput, MfaInput {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly DurationSeconds?: number;
  readonly ExternalId?: string;
  readonly SourceIdentity?: string;
  readonly ProvidedContexts?: readonly unknown[];
}

export function assumeRole(request: StsRequest, input: AssumeRoleInput): JsonObject {
  const { caller, directory } = request;
  const { RoleArn: roleArn, DurationSeconds: durationSeconds } = input;
  if (input.ProvidedContexts !== undefined) throw validationError("ProvidedContexts is not offered by this mock");
  const issuer = directory.find(caller.accessKeyId)?.row;
  const role = findRole(request, roleArn);
  if (caller.type === "root") throw accessDenied("Roles may not be assumed by root accounts.");
  const tags = readSessionTags(input, issuer);
  const sourceIdentity = input.SourceIdentity ?? issuer?.sourceIdentity;
  const self = directory.principal(caller.principalArn);
  const hasMfa = self ? checkMfa(request, input, self) : false;
  const refusal = (action: string): AwsFault => notAuthorized(caller, action, roleArn);
  if (!role) throw refusal("sts:AssumeRole");
  if (issuer?.sourceIdentity !== undefined && sourceIdentity !== issuer.sourceIdentity)
    throw refusal("sts:SetSourceIdentity");
  return openRoleSession(request, {
    ...{ action: "sts:AssumeRole", role, sessionName: input.RoleSessionName, tags, sourceIdentity },
    keys: {
      "sts:ExternalId": input.ExternalId,
      "sts:DurationSeconds": durationSeconds === undefined ? undefined : String(durationSeconds),
      ...(hasMfa ? { "aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0" } : {}),
    },
    ...{ policies: input, durationSeconds, issuer, hasMfa },
    shown: Object.keys(tags.inherited).length === 0 ? {} : { incomingTransitiveTags: tags.inherited },
    refusal,
  });
}
