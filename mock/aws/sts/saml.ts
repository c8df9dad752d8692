/**
 * AssumeRoleWithSAML: from an identity provider's assertion to a role's session, without AWS credentials.
 *
 * The assertion names the roles that its subject may take, each with its provider; the role's trust policy may ask for
 * `saml:aud`, `saml:iss`, `saml:sub`, `saml:sub_type`, `saml:doc`, `saml:namequalifier`.
 *
 * The session ends when its duration does or the provider's own session (`SessionNotOnOrAfter`), whichever is first.
 *
 * Source: STS API Reference, AssumeRoleWithSAML; IAM User Guide, "Configure SAML assertions for the authentication
 * response", "Available keys for SAML-based AWS STS federation".
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { PrincipalRow, SamlProviderRow } from "../directory-rows.ts";
import type { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { AuthenticatedCaller } from "../service.ts";
import { invalidToken as invalid, readClaims, type SessionClaims } from "./model.ts";
import { type AnonymousRequest, accessDenied, findRole, proofTime } from "./request.ts";
import { openRoleSession } from "./role-session.ts";
import { type SamlIdentity, verifyAssertion } from "./saml-assertion.ts";
import type { SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags, shownTags } from "./session-tags.ts";

export interface SamlInput extends SessionPolicyInput {
  readonly RoleArn: string;
  readonly PrincipalArn: string;
  readonly SAMLAssertion: string;
  readonly DurationSeconds?: number;
}

const ATTRIBUTE = "https://aws.amazon.com/SAML/Attributes/";
const TAG = `${ATTRIBUTE}PrincipalTag:`;

export function assumeRoleWithSaml(request: AnonymousRequest, input: SamlInput): JsonObject {
  const { directory, call, audit, spent } = request;
  const now = proofTime(call);
  const role = findRole(request, input.RoleArn);
  const provider = directory.samlProvider(input.PrincipalArn);
  if (!role || provider?.accountId !== role.accountId) throw notAuthorized();
  const identity = verifyAssertion(input.SAMLAssertion, provider, { now, spent });
  const caller = callerOf(role, provider, identity);
  request.identified(caller);
  assertNamed(identity, role, provider);
  const roleSessionName = sessionNameOf(identity);
  const { SourceIdentity: sourceIdentity, ...sessionTags } = claimsOf(identity);
  const tags = readSessionTags(sessionTags);
  const common = openRoleSession(
    { ...request, caller },
    {
      ...{ action: "sts:AssumeRoleWithSAML", role, sessionName: roleSessionName, tags, sourceIdentity },
      ...{ policies: input, durationSeconds: input.DurationSeconds ?? durationIn(identity) },
      remainingSeconds: (identity.sessionEndsAtMs - now.getTime()) / 1000,
      federation: { context: Object.fromEntries(caller.context), federatedProvider: provider.arn },
      shown: { sAMLAssertionID: identity.assertionId, roleSessionName, ...shownTags(tags) },
      refusal: notAuthorized,
    },
  );
  audit.otherResources = [{ accountId: provider.accountId, type: "AWS::IAM::SAMLProvider", ARN: provider.arn }];
  return {
    ...common,
    ...{ Subject: identity.subject, SubjectType: identity.subjectType, Issuer: identity.issuer },
    ...{ Audience: identity.recipient, NameQualifier: nameQualifier(provider, identity) },
  };
}

function sessionNameOf(identity: SamlIdentity): string {
  const name = single(identity, "RoleSessionName") ?? "";
  if (/^[\w+=,.@-]{2,64}$/.test(name)) return name;
  throw invalid("RoleSessionName is required in AuthnResponse and must match [\\w+=,.@-]{2,64}");
}

/** Each value is a role and a provider, in either order. */
function assertNamed({ attributes }: SamlIdentity, role: PrincipalRow, provider: SamlProviderRow): void {
  const isNamed = (attributes.get(`${ATTRIBUTE}Role`) ?? []).some((value) => {
    const arns = value.split(",").map((arn) => arn.trim());
    return arns.length === 2 && arns.includes(role.arn) && arns.includes(provider.arn);
  });
  if (!isNamed) throw notAuthorized();
}

function single({ attributes }: SamlIdentity, name: string): string | undefined {
  const values = attributes.get(`${ATTRIBUTE}${name}`) ?? [];
  if (values.length > 1) throw invalid(`${name} must have one value`);
  return values[0];
}

function durationIn(identity: SamlIdentity): number | undefined {
  const text = single(identity, "SessionDuration");
  if (text === undefined) return undefined;
  const seconds = /^\d{3,5}$/.test(text) ? Number(text) : 0;
  if (seconds < 900 || seconds > 43_200) throw invalid("SessionDuration must be 900 to 43200 seconds");
  return seconds;
}

function claimsOf(identity: SamlIdentity): SessionClaims {
  const { attributes } = identity;
  const tagNames = [...attributes.keys()].filter((name) => name.startsWith(TAG));
  const sourceIdentity = single(identity, "SourceIdentity");
  return readClaims({
    Tags: tagNames.map((name) => {
      const [value, ...others] = attributes.get(name) ?? [];
      if (value === undefined || others.length > 0) throw invalid("A PrincipalTag must have one value");
      return { Key: name.slice(TAG.length), Value: value };
    }),
    TransitiveTagKeys: attributes.get(`${ATTRIBUTE}TransitiveTagKeys`) ?? [],
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  });
}

/** Whom the trust policy is asked about: the assertion's subject, known by its provider alone. */
function callerOf(role: PrincipalRow, provider: SamlProviderRow, identity: SamlIdentity): AuthenticatedCaller {
  const { partition, accountId } = role;
  const { issuer, subject, subjectType, recipient } = identity;
  return {
    ...{ partition, accountId, type: "federated-user", name: subject, federatedProvider: provider.arn },
    ...{ principalArn: provider.arn, arn: provider.arn, userId: `${nameQualifier(provider, identity)}:${subject}` },
    ...{ accessKeyId: "", identityPolicies: [] },
    context: new Map([
      ["aws:federatedprovider", [provider.arn]],
      ["saml:aud", [recipient]],
      ["saml:iss", [issuer]],
      ["saml:sub", [subject]],
      ["saml:sub_type", [subjectType]],
      ["saml:doc", [documentOf(provider)]],
      ["saml:namequalifier", [nameQualifier(provider, identity)]],
    ]),
  };
}

function documentOf({ accountId, arn }: SamlProviderRow): string {
  return `${accountId}/${arn.replace(/^.*:saml-provider\//, "")}`;
}

/** AWS: base64 of SHA-1 over issuer, account and the provider's name. */
function nameQualifier(provider: SamlProviderRow, { issuer }: SamlIdentity): string {
  const name = provider.arn.replace(/^.*:saml-provider\//, "");
  return createHash("sha1").update(`${issuer}${provider.accountId}/${name}`).digest("base64");
}

function notAuthorized(): AwsFault {
  return accessDenied("Not authorized to perform sts:AssumeRoleWithSAML");
}
