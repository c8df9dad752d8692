/**
 * AssumeRoleWithWebIdentity: from an OpenID Connect token to a role's session, without AWS credentials.
 *
 * The token is verified under the provider's own keys before the role's trust policy may ask for its claims, as
 * `<issuer>:aud`, `:sub`, `:amr`. It may bring session tags and a source identity.
 *
 * Source: STS API Reference, AssumeRoleWithWebIdentity; IAM User Guide, "Available keys for AWS web identity
 * federation", "Passing session tags using AssumeRoleWithWebIdentity".
 *
 * @module
 */
import type { Directory } from "../directory.ts";
import type { PrincipalRow } from "../directory-rows.ts";
import type { JsonObject } from "../json.ts";
import type { AnonymousCall, AuthenticatedCaller } from "../service.ts";
import type { Audit } from "../trail.ts";
import { durationOf } from "./assume-role.ts";
import { verifyToken, type WebIdentity } from "./json-web-token.ts";
import { accessDenied, findRole, refusedAction, validationError } from "./request.ts";
import { assumedRoleUser, openSession } from "./session.ts";
import { packedSize, readSessionPolicies, type SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags } from "./session-tags.ts";

export interface WebIdentityInput extends SessionPolicyInput {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly WebIdentityToken: string;
  readonly ProviderId?: string;
  readonly DurationSeconds?: number;
}

export interface AnonymousRequest {
  readonly call: AnonymousCall;
  readonly directory: Directory;
  readonly audit: Audit;
  /** Told who it is as soon as the proof is verified. */
  readonly identified: (caller: AuthenticatedCaller) => void;
}

/** Cognito's own name stands in policies, not an ARN. */
const COGNITO = "cognito-identity.amazonaws.com";

export function assumeRoleWithWebIdentity(request: AnonymousRequest, input: WebIdentityInput): JsonObject {
  const { directory, call } = request;
  const { RoleArn: roleArn, RoleSessionName: sessionName } = input;
  if (input.ProviderId !== undefined) throw validationError("OAuth 2.0 access tokens are not offered by this mock");
  const role = findRole(directory, roleArn);
  if (!role) throw notAuthorized();
  const identity = verifyToken(input.WebIdentityToken, {
    now: call.now,
    providerOf: (issuer) => directory.oidcProvider(providerArn(role, issuer)),
  });
  const caller = callerOf(role, identity);
  request.identified(caller);
  const sessionTags = readSessionTags(identity.tags);
  const sourceIdentity = identity.sourceIdentity;
  const actions = [
    "sts:AssumeRoleWithWebIdentity",
    ...(Object.keys(sessionTags.tags).length > 0 ? ["sts:TagSession"] : []),
    ...(sourceIdentity === undefined ? [] : ["sts:SetSourceIdentity"]),
  ];
  const keys = { ...sessionTags.keys, "sts:RoleSessionName": sessionName, "sts:SourceIdentity": sourceIdentity };
  if (refusedAction({ ...request, caller }, role, actions, keys) !== undefined) throw notAuthorized();
  const durationSeconds = durationOf(input.DurationSeconds, role);
  const sessionPolicies = readSessionPolicies(input, { directory, owner: role });
  const size = packedSize(input, sessionTags.tags);
  const credentials = openSession(
    { ...request, caller },
    {
      ...{ principal: role, sessionName, durationSeconds, hasMfa: false },
      ...{ sessionTags: sessionTags.tags, transitiveTagKeys: sessionTags.transitiveTagKeys },
      context: Object.fromEntries(caller.context),
      ...(caller.federatedProvider === undefined ? {} : { federatedProvider: caller.federatedProvider }),
      ...(sessionPolicies ? { sessionPolicies } : {}),
      ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
    },
  );
  return {
    SubjectFromWebIdentityToken: identity.subject,
    AssumedRoleUser: assumedRoleUser(role, sessionName),
    Credentials: credentials,
    Provider: identity.provider.arn,
    Audience: identity.audience,
    ...(sessionPolicies || Object.keys(sessionTags.tags).length > 0 ? { PackedPolicySize: size } : {}),
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
}

function providerArn({ partition, accountId }: PrincipalRow, issuer: string): string {
  return `arn:${partition}:iam::${accountId}:oidc-provider/${issuer.replace(/^https:\/\//, "")}`;
}

/** Whom the trust policy is asked about: the token's subject, known by its provider alone. */
function callerOf({ partition, accountId }: PrincipalRow, identity: WebIdentity): AuthenticatedCaller {
  const { provider, subject, audience, authenticationMethods } = identity;
  const prefix = provider.url.replace(/^https:\/\//, "");
  const federatedProvider = prefix === COGNITO ? COGNITO : provider.arn;
  return {
    ...{ partition, accountId, type: "federated-user", name: subject, federatedProvider },
    ...{ principalArn: provider.arn, arn: provider.arn, userId: `${federatedProvider}:${audience}:${subject}` },
    ...{ accessKeyId: "", identityPolicies: [] },
    context: new Map([
      ["aws:federatedprovider", [federatedProvider]],
      [`${prefix}:aud`.toLowerCase(), [audience]],
      [`${prefix}:sub`.toLowerCase(), [subject]],
      ...(authenticationMethods.length > 0 ? [[`${prefix}:amr`.toLowerCase(), authenticationMethods] as const] : []),
    ]),
  };
}

function notAuthorized(): Error {
  return accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity");
}
