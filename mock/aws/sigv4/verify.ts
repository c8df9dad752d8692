/**
 * Decides which credentials signed a request, or refuses it as AWS does.
 *
 *   1. read      one Authorization header, SigV4, the three parts
 *   2. cover     host, x-amz-date, x-amz-target and every other x-amz-* header that came are signed
 *   3. scope     day, region and service are the request's own
 *   4. skew      at most five minutes either way
 *   5. identify  access key and session token are known together
 *   6. compare   the signature, in constant time; only then is an expired session told so
 *
 * A signed request can be sent again inside the window: AWS keeps no list of them, nor does this.
 *
 * Source: IAM User Guide, "Create a signed AWS API request", "Troubleshoot Signature Version 4".
 *
 * @module
 */
import { timingSafeEqual } from "node:crypto";
import { AwsFault } from "../fault.ts";
import {
  type CredentialScope,
  canonicalRequest,
  headerValues,
  type ReceivedRequest,
  SIGV4_ALGORITHM,
  sha256Hex,
  sign,
  stringToSign,
} from "./canonical.ts";

/** What the service knows of a key pair. */
export interface KnownCredential {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiresAt?: Date;
}

export interface SignatureExpectations<Credential extends KnownCredential> {
  readonly service: string;
  readonly regions: ReadonlySet<string>;
  readonly now: Date;
  readonly maxSkewMs: number;
  readonly find: (accessKeyId: string) => Credential | undefined;
}

interface Authorization {
  readonly accessKeyId: string;
  readonly scope: CredentialScope;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

const SINGLE = ["host", "x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256", "content-type"];

/** @throws {AwsFault} with the name AWS gives the fault */
export function verifySignature<Credential extends KnownCredential>(
  request: ReceivedRequest,
  expected: SignatureExpectations<Credential>,
): { readonly credential: Credential; readonly region: string } {
  const authorization = readAuthorization(request);
  assertCovered(request, authorization.signedHeaders);
  const amzDate = headerValues(request, "x-amz-date")[0] ?? "";
  assertScope(request, authorization.scope, amzDate, expected);
  assertSkew(amzDate, expected.now, expected.maxSkewMs);
  const credential = identify(request, authorization.accessKeyId, expected.find);
  compareSignature(request, authorization, amzDate, credential.secretAccessKey);
  if (credential.expiresAt && credential.expiresAt <= expected.now)
    throw new AwsFault("ExpiredTokenException", "The security token included in the request is expired");
  return { credential, region: authorization.scope.region };
}

function readAuthorization(request: ReceivedRequest): Authorization {
  const values = headerValues(request, "authorization");
  const [value] = values;
  if (value === undefined) throw new AwsFault("MissingAuthenticationTokenException", "Missing Authentication Token");
  const parts = /^AWS4-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([^,\s]+)$/.exec(value);
  const [, credential = "", signedHeaders = "", signature = ""] = parts ?? [];
  if (values.length > 1 || !parts)
    throw new AwsFault(
      "IncompleteSignatureException",
      `Authorization header requires one ${SIGV4_ALGORITHM} with 'Credential', 'SignedHeaders' and 'Signature' parameters.`,
    );
  const [accessKeyId = "", day = "", region = "", service = "", terminator, ...rest] = credential.split("/");
  if (terminator !== "aws4_request" || rest.length > 0)
    throw invalid("Credential should be scoped with a valid terminator: 'aws4_request'.");
  return { accessKeyId, scope: { day, region, service }, signedHeaders: signedHeaders.split(";"), signature };
}

function assertCovered(request: ReceivedRequest, signedHeaders: readonly string[]): void {
  const sorted = [...new Set(signedHeaders)].sort();
  if (sorted.join(";") !== signedHeaders.join(";") || signedHeaders.some((name) => name !== name.toLowerCase()))
    throw invalid("SignedHeaders must be lower-case, sorted and without repetition.");
  for (const name of SINGLE)
    if (headerValues(request, name).length > 1) throw invalid(`Header '${name}' must not be repeated.`);
  const present = request.headers.map(([name]) => name.toLowerCase());
  const required = ["host", "x-amz-date", "x-amz-target", ...present.filter((name) => name.startsWith("x-amz-"))];
  for (const name of required)
    if (!signedHeaders.includes(name)) throw invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
  for (const name of signedHeaders)
    if (!present.includes(name)) throw invalid(`'${name}' is a 'SignedHeader' and is not in the request.`);
}

function assertScope<Credential extends KnownCredential>(
  request: ReceivedRequest,
  scope: CredentialScope,
  amzDate: string,
  expected: SignatureExpectations<Credential>,
): void {
  if (scope.day !== amzDate.slice(0, 8))
    throw invalid(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.day}' != '${amzDate.slice(0, 8)}', from '${amzDate}'.`,
    );
  if (scope.service !== expected.service)
    throw invalid(`Credential should be scoped to correct service: '${expected.service}'.`);
  const host = (headerValues(request, "host")[0] ?? "").replace(/:[0-9]+$/, "").toLowerCase();
  const hostRegion = /^[a-z0-9-]+\.([a-z0-9-]+)\.amazonaws\.com$/.exec(host)?.[1];
  if (!expected.regions.has(scope.region) || (hostRegion !== undefined && hostRegion !== scope.region))
    throw invalid("Credential should be scoped to a valid region.");
}

function assertSkew(amzDate: string, now: Date, maxSkewMs: number): void {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate) ?? [];
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(signedAt))
    throw invalid("Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601");
  const minutes = maxSkewMs / 60_000;
  const early = amzTime(now.getTime() - maxSkewMs);
  if (signedAt < now.getTime() - maxSkewMs)
    throw invalid(`Signature expired: ${amzDate} is now earlier than ${early} (${amzTime(now)} - ${minutes} min.)`);
  const late = amzTime(now.getTime() + maxSkewMs);
  if (signedAt > now.getTime() + maxSkewMs)
    throw invalid(
      `Signature not yet current: ${amzDate} is still later than ${late} (${amzTime(now)} + ${minutes} min.)`,
    );
}

function identify<Credential extends KnownCredential>(
  request: ReceivedRequest,
  accessKeyId: string,
  find: (accessKeyId: string) => Credential | undefined,
): Credential {
  const credential = find(accessKeyId);
  const token = headerValues(request, "x-amz-security-token")[0];
  if (!credential || !sameText(token ?? "", credential.sessionToken ?? ""))
    throw new AwsFault("UnrecognizedClientException", "The security token included in the request is invalid.");
  return credential;
}

function compareSignature(
  request: ReceivedRequest,
  authorization: Authorization,
  amzDate: string,
  secretAccessKey: string,
): void {
  const contentHash = headerValues(request, "x-amz-content-sha256")[0];
  const canonical = canonicalRequest(request, authorization.signedHeaders);
  const text = stringToSign(amzDate, authorization.scope, canonical);
  const matches = sameText(authorization.signature, sign(secretAccessKey, authorization.scope, text));
  if (!matches || (contentHash !== undefined && contentHash !== sha256Hex(request.body)))
    throw invalid(
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    );
}

/** Compares digests, so that the time tells neither content nor length. */
function sameText(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(sha256Hex(a)), Buffer.from(sha256Hex(b)));
}

function amzTime(time: Date | number): string {
  return new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

function invalid(message: string): AwsFault {
  return new AwsFault("InvalidSignatureException", message);
}
