/**
 * Decides whether a JSON Web Token was signed by a known identity provider for a client that is registered with it.
 *
 *   1. read      three parts, JSON without repeated names; `alg` RS256 or ES256, nothing else
 *   2. provider  found by the issuer that the token names, in the account of the role
 *   3. verify    under the one key of the provider that the token names and that is of the algorithm's kind
 *   4. claims    issuer, audience, subject, times, and what becomes the session's: tags, source identity
 *
 * Source: RFC 7515, RFC 7518 §3.3 and §3.4, RFC 7519 §4.1; OpenID Connect Core §2, §3.1.3.7.
 *
 * @module
 */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from "node:crypto";
import type { OidcProviderRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";
import { isJsonArray, isJsonObject, type Json, type JsonObject, parseJson } from "../json.ts";
import { type GivenClaims, invalidToken as invalid, readClaims, type SessionClaims } from "./model.ts";

export interface WebIdentity {
  readonly provider: OidcProviderRow;
  readonly subject: string;
  readonly audience: string;
  /** `amr`. */
  readonly authenticationMethods: readonly string[];
  /** Tags and source identity. */
  readonly claims: SessionClaims;
}

interface TokenChecks {
  readonly now: Date;
  readonly providerOf: (issuer: string) => OidcProviderRow | undefined;
}

const ALGORITHMS: ReadonlyMap<string, "rsa" | "ec"> = new Map([
  ["RS256", "rsa"],
  ["ES256", "ec"],
]);
const RSA_MIN_BITS = 2_048;
/** AWS: a token may be issued up to five minutes ahead. */
const MAX_AHEAD_SECONDS = 300;

/** @throws {AwsFault} `InvalidIdentityToken`, `ExpiredTokenException` */
export function verifyToken(token: string, { now, providerOf }: TokenChecks): WebIdentity {
  const [head = "", payload = "", signature = "", ...rest] = token.split(".");
  const [header, claims] = [readPart(head), readPart(payload)];
  if (rest.length > 0 || !header || !claims || !isBase64Url(signature))
    throw invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)");
  const issuer = text(claims["iss"]);
  const provider = providerOf(issuer);
  if (!provider || provider.url !== issuer)
    throw invalid(`No OpenIDConnect provider found in your account for ${issuer}`);
  assertSigned(header, `${head}.${payload}`, signature, provider);
  return { provider, ...appraise(claims, provider, now) };
}

function assertSigned(header: JsonObject, signed: string, signature: string, provider: OidcProviderRow): void {
  const kind = ALGORITHMS.get(text(header["alg"]));
  if (!kind || "crit" in header) throw invalid("Provided Token signature is invalid");
  const candidates = provider.jwks.keys.filter((jwk) => header["kid"] === undefined || jwk["kid"] === header["kid"]);
  const keys = candidates.flatMap((jwk) => readKey(jwk, kind));
  const [key] = keys;
  if (!key || keys.length > 1) throw invalid("Couldn't retrieve verification key from your identity provider");
  const options = kind === "ec" ? { key, dsaEncoding: "ieee-p1363" as const } : { key };
  if (!verify("sha256", Buffer.from(signed), options, Buffer.from(signature, "base64url")))
    throw invalid("Provided Token signature is invalid");
}

/** The provider's own keys, so not hostile; one of another kind is passed over. */
function readKey(jwk: JsonWebKey, kind: "rsa" | "ec"): readonly KeyObject[] {
  if ((jwk["use"] ?? "sig") !== "sig") return [];
  if (kind === "ec" ? jwk.kty !== "EC" || jwk.crv !== "P-256" : jwk.kty !== "RSA") return [];
  const { kty, n, e, crv, x, y } = jwk;
  const half = { kty, n, e, crv, x, y };
  const present = Object.fromEntries(Object.entries(half).filter(([, value]) => value !== undefined));
  const key = createPublicKey({ key: present, format: "jwk" });
  const bits = key.asymmetricKeyDetails?.modulusLength ?? RSA_MIN_BITS;
  return bits >= RSA_MIN_BITS ? [key] : [];
}

function appraise(claims: JsonObject, provider: OidcProviderRow, now: Date): Omit<WebIdentity, "provider"> {
  assertTimes(claims, Math.floor(now.getTime() / 1000));
  const subject = text(claims["sub"]);
  if (subject === "") throw invalid("Missing a required claim: sub");
  const audience = audienceOf(claims, provider);
  return { subject, audience, authenticationMethods: texts(claims["amr"]), claims: readClaims(sessionClaims(claims)) };
}

function assertTimes({ exp, nbf, iat }: JsonObject, seconds: number): void {
  if (exp === undefined) throw invalid("Missing a required claim: exp");
  for (const time of [exp, nbf, iat])
    if (time !== undefined && !Number.isFinite(time)) throw invalid("A time of the token is not a number");
  if (seconds >= Number(exp))
    throw new AwsFault(
      "ExpiredTokenException",
      `Token expired: current date/time ${seconds} must be before the expiration date/time ${Number(exp)}`,
    );
  for (const start of [nbf, iat])
    if (Number(start) > seconds + MAX_AHEAD_SECONDS) throw invalid("Token is not yet valid");
}

/** With `azp` that is the audience; it and every other way it must be registered. */
function audienceOf(claims: JsonObject, { clientIds }: OidcProviderRow): string {
  const [first, ...others] = texts(claims["aud"]);
  const authorizedParty = text(claims["azp"]);
  const audience =
    authorizedParty || (others.length === 0 ? first : texts(claims["aud"]).find((id) => clientIds.includes(id)));
  if (audience === undefined || !clientIds.includes(audience)) throw invalid("Incorrect token audience");
  return audience;
}

/** A claim that is of another form than AWS describes is refused, not passed over. */
function sessionClaims(claims: JsonObject): GivenClaims {
  const tags = claims["https://aws.amazon.com/tags"] ?? {};
  const sourceIdentity = claims["https://aws.amazon.com/source_identity"];
  if (!isJsonObject(tags)) throw invalid("The tags of the token are not an object");
  const { principal_tags: principalTags = {}, transitive_tag_keys: transitive } = tags;
  if (!isJsonObject(principalTags)) throw invalid("The principal_tags of the token are not an object");
  return {
    Tags: Object.entries(principalTags).map(([Key, values]) => ({ Key, Value: onlyOf(values) })),
    ...(transitive === undefined ? {} : { TransitiveTagKeys: transitive }),
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
}

function onlyOf(values: Json): Json {
  const [value, ...others] = isJsonArray(values) ? values : [];
  if (value === undefined || others.length > 0) throw invalid("A session tag of a token has a list of one value");
  return value;
}

function readPart(part: string): JsonObject | undefined {
  if (!isBase64Url(part)) return undefined;
  try {
    const value = parseJson(Buffer.from(part, "base64url"));
    return isJsonObject(value) ? value : undefined;
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    throw cause;
  }
}

function isBase64Url(part: string): boolean {
  return part !== "" && Buffer.from(part, "base64url").toString("base64url") === part;
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

function texts(value: Json | undefined): readonly string[] {
  if (typeof value === "string") return [value];
  return isJsonArray(value) ? value.filter((item) => typeof item === "string") : [];
}
