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
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { AuthenticatedCaller } from "../service.ts";
import { durationOf } from "./assume-role.ts";
import { accessDenied, findRole, refusedAction } from "./request.ts";
import { type SamlIdentity, verifyAssertion } from "./saml-assertion.ts";
import { assumedRoleUser, openSession } from "./session.ts";
import { packedSize, readSessionPolicies, type SessionPolicyInput } from "./session-policies.ts";
import { readSessionTags } from "./session-tags.ts";
import type { AnonymousRequest } from "./web-identity.ts";

export interface SamlInput extends SessionPolicyInput {
  readonly RoleArn: string;
  readonly PrincipalArn: string;
  readonly SAMLAssertion: string;
  readonly DurationSeconds?: number;
}

const ATTRIBUTE = "https://aws.amazon.com/SAML/Attributes/";
const TAG = `${ATTRIBUTE}PrincipalTag:`;

export function assumeRoleWithSaml(request: AnonymousRequest, input: SamlInput): JsonObject {
  const { directory, call } = request;
  const role = findRole(directory, input.RoleArn);
  const provider = directory.samlProvider(input.PrincipalArn);
  if (!role || provider?.accountId !== role.accountId) throw notAuthorized();
  const identity = verifyAssertion(input.SAMLAssertion, provider, call.now);
  const caller = callerOf(role, provider, identity);
  request.identified(caller);
  assertNamed(identity, role, provider);
  const sessionName = single(identity, "RoleSessionName");
  if (!/^[\w+=,.@-]{2,64}$/.test(sessionName ?? ""))
    throw invalid("RoleSessionName is required in AuthnResponse and must match [\\w+=,.@-]{2,64}");
  const sourceIdentity = single(identity, "SourceIdentity");
  const { tags, transitiveTagKeys, keys } = readSessionTags(tagsOf(identity));
  const actions = [
    "sts:AssumeRoleWithSAML",
    ...(Object.keys(tags).length > 0 ? ["sts:TagSession"] : []),
    ...(sourceIdentity === undefined ? [] : ["sts:SetSourceIdentity"]),
  ];
  const asked = { ...keys, "sts:RoleSessionName": sessionName, "sts:SourceIdentity": sourceIdentity };
  if (refusedAction({ ...request, caller }, role, actions, asked) !== undefined) throw notAuthorized();
  const longest = durationOf(input.DurationSeconds ?? durationIn(identity), role);
  const durationSeconds = Math.min(longest, (identity.sessionEndsAtMs - call.now.getTime()) / 1000);
  const sessionPolicies = readSessionPolicies(input, { directory, owner: role });
  const size = packedSize(input, tags);
  const credentials = openSession(
    { ...request, caller },
    {
      ...{
        principal: role,
        sessionName: sessionName ?? "",
        durationSeconds,
        hasMfa: false,
        sessionTags: tags,
        transitiveTagKeys,
      },
      ...{ context: Object.fromEntries(caller.context), federatedProvider: provider.arn },
      ...(sessionPolicies ? { sessionPolicies } : {}),
      ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
    },
  );
  return {
    ...{ Credentials: credentials, AssumedRoleUser: assumedRoleUser(role, sessionName ?? "") },
    ...{ Subject: identity.subject, SubjectType: identity.subjectType, Issuer: identity.issuer },
    ...{ Audience: identity.recipient, NameQualifier: nameQualifier(provider, identity) },
    ...(sessionPolicies || Object.keys(tags).length > 0 ? { PackedPolicySize: size } : {}),
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
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

function tagsOf({ attributes }: SamlIdentity): Parameters<typeof readSessionTags>[0] {
  const given = [...attributes].filter(([name]) => name.startsWith(TAG));
  return {
    Tags: given.map(([name, values]) => ({ Key: name.slice(TAG.length), Value: values[0] ?? "" })),
    TransitiveTagKeys: attributes.get(`${ATTRIBUTE}TransitiveTagKeys`) ?? [],
  };
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

function invalid(message: string): AwsFault {
  return new AwsFault("InvalidIdentityToken", message);
}

function notAuthorized(): AwsFault {
  return accessDenied("Not authorized to perform sts:AssumeRoleWithSAML");
}
