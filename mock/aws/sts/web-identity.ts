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
import type { PrincipalRow } from "../directory-rows.ts";
import type { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { AuthenticatedCaller } from "../service.ts";
import { verifyToken, type WebIdentity } from "./json-web-token.ts";
import { type AnonymousRequest, accessDenied, findRole, proofTime, validationError } from "./request.ts";
import { openRoleSession } from "./role-session.ts";
import type { SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags, shownTags } from "./session-tags.ts";

export interface WebIdentityInput extends SessionPolicyInput {
  readonly RoleArn: string;
  readonly RoleSessionName: string;
  readonly WebIdentityToken: string;
  readonly ProviderId?: string;
  readonly DurationSeconds?: number;
}

/** Cognito's own name stands in policies, not an ARN. */
const COGNITO = "cognito-identity.amazonaws.com";

export function assumeRoleWithWebIdentity(request: AnonymousRequest, input: WebIdentityInput): JsonObject {
  const { directory, call } = request;
  if (input.ProviderId !== undefined) throw validationError("OAuth 2.0 access tokens are not offered by this mock");
  const role = findRole(request, input.RoleArn);
  if (!role) throw notAuthorized();
  const identity = verifyToken(input.WebIdentityToken, {
    now: proofTime(call),
    providerOf: (issuer) => directory.oidcProvider(providerArn(role, issuer)),
  });
  const caller = callerOf(role, identity);
  request.identified(caller);
  const { SourceIdentity: sourceIdentity, ...sessionTags } = identity.claims;
  const tags = readSessionTags(sessionTags);
  const { federatedProvider } = caller;
  const common = openRoleSession(
    { ...request, caller },
    {
      ...{ action: "sts:AssumeRoleWithWebIdentity", role, sessionName: input.RoleSessionName, tags, sourceIdentity },
      ...{ policies: input, durationSeconds: input.DurationSeconds },
      federation: {
        context: Object.fromEntries(caller.context),
        ...(federatedProvider === undefined ? {} : { federatedProvider }),
      },
      shown: shownTags(tags),
      refusal: notAuthorized,
    },
  );
  return {
    SubjectFromWebIdentityToken: identity.subject,
    ...common,
    Provider: identity.provider.arn,
    Audience: identity.audience,
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

function notAuthorized(): AwsFault {
  return accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity");
}
