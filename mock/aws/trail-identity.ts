/**
 * Who called, as CloudTrail writes it down in `userIdentity`.
 *
 *   Root · IAMUser · AssumedRole · FederatedUser · WebIdentityUser · SAMLUser · AWSService
 *   AWSAccount   in the event of another account, whose owner learns the caller's account and id, and no name
 *
 * Source: CloudTrail User Guide, "CloudTrail userIdentity element", its examples.
 *
 * @module
 */
import { uniqueId } from "./credentials.ts";
import type { Caller } from "./iam/principal.ts";
import type { JsonObject } from "./json.ts";

/** In the event that an account gets. */
export function userIdentityOf(caller: Caller, recipientAccountId: string): JsonObject {
  const { type, accountId, userId: principalId } = caller;
  const service = invokingService(caller);
  const invokedBy = service === undefined ? {} : { invokedBy: service };
  if (type === "service") return { type: "AWSService", ...invokedBy };
  if (recipientAccountId !== accountId) return { type: "AWSAccount", principalId, accountId, ...invokedBy };
  return { ...invokedBy, ...ownIdentity(caller) };
}

/** The service that calls for itself or on somebody's behalf; in its own words there is no Region. */
export function invokingService({ type, name, viaService }: Caller): string | undefined {
  return (viaService ?? (type === "service" ? name : undefined))?.replace(/\.[a-z]{2}(?:-[a-z]+)+-\d\./, ".");
}

const ownIdentities = new WeakMap<Caller, JsonObject>();

/** One for all calls of a caller: nothing of it changes while its credentials are the same. */
function ownIdentity(caller: Caller): JsonObject {
  const known = ownIdentities.get(caller) ?? describe(caller);
  ownIdentities.set(caller, known);
  return known;
}

function describe(caller: Caller): JsonObject {
  const { type, name, accountId, arn, userId: principalId, accessKeyId } = caller;
  const known = { principalId, arn, accountId, accessKeyId };
  if (type === "root") return { type: "Root", ...known };
  if (type === "user") return { type: "IAMUser", ...known, userName: name, ...sessionOf(caller, undefined) };
  if (type === "role") return { type: "AssumedRole", ...known, ...sessionOf(caller, issuingRole(caller)) };
  if (accessKeyId !== "") return { type: "FederatedUser", ...known, ...sessionOf(caller, issuingUser(caller)) };
  // Known by another's proof, and of no account: the call that makes the session.
  const { federatedProvider: provider = "", context } = caller;
  const isSaml = provider.includes(":saml-provider/");
  const [identityProvider = provider] = (isSaml && context.get("saml:namequalifier")) || [];
  return { type: isSaml ? "SAMLUser" : "WebIdentityUser", principalId, userName: name, identityProvider };
}

function issuingRole({ principalArn: arn, accountId, name, userId }: Caller): JsonObject {
  return { type: "Role", principalId: userId.split(":")[0] ?? "", arn, accountId, userName: name };
}

function issuingUser({ issuerArn: arn = "", accountId }: Caller): JsonObject {
  if (arn.endsWith(":root")) return { type: "Root", principalId: accountId, arn, accountId };
  return { type: "IAMUser", principalId: uniqueId("AIDA", arn), arn, accountId, userName: arn.split("/").at(-1) ?? "" };
}

/** `sessionContext`; none for a user's own access key. */
function sessionOf(caller: Caller, sessionIssuer: JsonObject | undefined): JsonObject {
  const { context, federatedProvider } = caller;
  const [creationDate] = context.get("aws:tokenissuetime") ?? [];
  const [hasMfa = "false"] = context.get("aws:multifactorauthpresent") ?? [];
  const [sourceIdentity] = context.get("aws:sourceidentity") ?? [];
  if (!sessionIssuer && creationDate === undefined) return {};
  const created = creationDate === undefined ? {} : { creationDate: `${creationDate.slice(0, 19)}Z` };
  const attributes = { mfaAuthenticated: hasMfa, ...created };
  const isWeb = federatedProvider !== undefined && !federatedProvider.includes(":saml-provider/");
  return {
    sessionContext: {
      ...(sessionIssuer ? { sessionIssuer } : {}),
      ...(isWeb ? { webIdFederationData: { federatedProvider, attributes: tokenClaims(context) } } : {}),
      attributes,
      ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
    },
  };
}

/** What policies can ask about the token, by the names that they ask for it. */
function tokenClaims(context: Caller["context"]): JsonObject {
  const claims = [...context].filter(([key]) => /:(?:amr|aud|sub)$/.test(key));
  return Object.fromEntries(claims.map(([key, values]) => [key, values.join(",")]));
}
