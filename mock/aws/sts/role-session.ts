/**
 * From a proof that counts to a session of a role: the part that AssumeRole and its two siblings share.
 *
 *   1. policies   the operation itself, sts:TagSession for tags, sts:SetSourceIdentity for a source identity
 *   2. limits     duration, session policies, their packed size with the tags
 *   3. session    credentials, and the role in the event
 *
 * Source: STS API Reference, AssumeRole, AssumeRoleWithSAML, AssumeRoleWithWebIdentity.
 *
 * @module
 */
import type { CredentialRow, PrincipalRow } from "../directory-rows.ts";
import type { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import { type RequestKeys, refusedAction, type StsRequest, validationError } from "./request.ts";
import { assumedRoleUser, type NewSession, openSession } from "./session.ts";
import { packedSize, readSessionPolicies, type SessionPolicyInput } from "./session-policies.ts";
import type { SessionTags } from "./session-tags.ts";

/** Who wants to be which role, how it is known, and for how long. */
export interface Assumption {
  readonly action: string;
  readonly role: PrincipalRow;
  readonly sessionName: string;
  readonly tags: SessionTags;
  readonly sourceIdentity: string | undefined;
  /** What policies can ask beside tags, name and source identity. */
  readonly keys?: RequestKeys;
  readonly policies: SessionPolicyInput;
  readonly durationSeconds: number | undefined;
  /** However long was asked for, it ends by then. */
  readonly remainingSeconds?: number;
  /** The session that asks, in a role chain. */
  readonly issuer?: CredentialRow | undefined;
  readonly hasMfa?: boolean;
  /** What a federated session keeps of its proof. */
  readonly federation?: Pick<NewSession, "context" | "federatedProvider">;
  /** What the event says of the request beside its parameters. */
  readonly shown: JsonObject;
  /** The refusal of an action that policies do not allow. */
  readonly refusal: (action: string) => AwsFault;
}

const DEFAULT_SECONDS = 3_600;
const CHAIN_MAX_SECONDS = 3_600;

/** The members that the three answers have in common. @throws {AwsFault} */
export function openRoleSession(request: StsRequest, assumption: Assumption): JsonObject {
  const { role, sessionName, tags, sourceIdentity, policies, shown, hasMfa = false } = assumption;
  const { directory, audit } = request;
  const identity = sourceIdentity === undefined ? {} : { sourceIdentity };
  audit.requestParameters = { ...audit.requestParameters, ...identity, ...shown };
  const refused = refusedAction(request, role, actionsOf(assumption), keysOf(assumption));
  if (refused !== undefined) throw assumption.refusal(refused);
  const durationSeconds = Math.min(durationOf(assumption), assumption.remainingSeconds ?? Number.POSITIVE_INFINITY);
  const sessionPolicies = readSessionPolicies(policies, { directory, owner: role });
  const size = packedSize(policies, tags.tags);
  const credentials = openSession(request, {
    ...{ principal: role, sessionName, durationSeconds, hasMfa },
    ...{ sessionTags: tags.tags, transitiveTagKeys: tags.transitiveTagKeys },
    ...assumption.federation,
    ...(sessionPolicies ? { sessionPolicies } : {}),
    ...identity,
  });
  audit.resource = { accountId: role.accountId, type: "AWS::IAM::Role", ARN: role.arn };
  return {
    Credentials: credentials,
    AssumedRoleUser: assumedRoleUser(role, sessionName),
    ...(sessionPolicies || hasTags(assumption) ? { PackedPolicySize: size } : {}),
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
}

function actionsOf(assumption: Assumption): readonly string[] {
  return [
    assumption.action,
    ...(hasTags(assumption) ? ["sts:TagSession"] : []),
    ...(assumption.sourceIdentity === undefined ? [] : ["sts:SetSourceIdentity"]),
  ];
}

function keysOf({ tags, sessionName, sourceIdentity, keys }: Assumption): RequestKeys {
  return { ...tags.keys, "sts:RoleSessionName": sessionName, "sts:SourceIdentity": sourceIdentity, ...keys };
}

function hasTags({ tags }: Assumption): boolean {
  return Object.keys(tags.tags).length > 0;
}

/** @throws {AwsFault} `ValidationError`: longer than the role or a chain allows */
function durationOf({ durationSeconds: seconds, role, issuer }: Assumption): number {
  const isChained = issuer?.sessionToken !== undefined && issuer.principalArn.includes(":role/");
  if (isChained && seconds !== undefined && seconds > CHAIN_MAX_SECONDS)
    throw validationError(
      "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    );
  if (seconds !== undefined && seconds > role.maxSessionDurationSeconds)
    throw validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
  return seconds ?? DEFAULT_SECONDS;
}
