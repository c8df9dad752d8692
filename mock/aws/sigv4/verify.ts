/**
 * Decides which credentials signed a request, or refuses it as AWS does.
 *
 *   1. read      one signature, SigV4, in the header or (where a service allows it) in the query   authorization.ts
 *   2. cover     host, x-amz-date, x-amz-target and every other x-amz-* header that came are signed
 *   3. scope     day, region and service are the request's own
 *   4. skew      so many minutes either way; a presigned request lives as long as it says
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
import { type Authorization, readAuthorization } from "./authorization.ts";
import {
  type CredentialScope,
  canonicalRequest,
  headerValues,
  type PathForm,
  type ReceivedRequest,
  sha256Hex,
  sign,
  signingKey,
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
  /** What the time of signing is compared with; `now` if absent. */
  readonly clientTime?: Date;
  readonly maxSkewMs: number;
  readonly find: (accessKeyId: string) => Credential | undefined;
  /** Whether the signature may stand in the query; not if absent. */
  readonly isPresignable?: boolean;
  /** `normalized` if absent. */
  readonly path?: PathForm;
  /** Whether the session token may be added after signing, as AWS IoT does; not if absent. */
  readonly mayLeaveTokenUnsigned?: boolean;
  /** Derives, or remembers. */
  readonly keyFor?: (secretAccessKey: string, scope: CredentialScope) => Uint8Array;
}

const SINGLE = ["host", "x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256", "content-type"];

/** @throws {AwsFault} with the name AWS gives the fault */
export function verifySignature<Credential extends KnownCredential>(
  request: ReceivedRequest,
  expected: SignatureExpectations<Credential>,
): { readonly credential: Credential; readonly region: string } {
  const authorization = readAuthorization(request, expected.isPresignable ?? false);
  assertCovered(request, authorization, expected.mayLeaveTokenUnsigned ?? false);
  assertScope(authorization, expected);
  assertSkew(authorization, expected.clientTime ?? expected.now, expected.maxSkewMs);
  const credential = identify(authorization, expected.find);
  compareSignature(request, authorization, credential.secretAccessKey, expected);
  if (credential.expiresAt && credential.expiresAt <= expected.now)
    throw new AwsFault("ExpiredTokenException", "The security token included in the request is expired");
  return { credential, region: authorization.scope.region };
}

function assertCovered(
  request: ReceivedRequest,
  { signedHeaders, expiresInSeconds }: Authorization,
  mayLeaveTokenUnsigned: boolean,
): void {
  const isOrdered = signedHeaders.every((name, i) => i === 0 || (signedHeaders[i - 1] ?? "") < name);
  if (!isOrdered || signedHeaders.some((name) => name !== name.toLowerCase()))
    throw invalid("SignedHeaders must be lower-case, sorted and without repetition.");
  for (const name of SINGLE)
    if (headerValues(request, name).length > 1) throw invalid(`Header '${name}' must not be repeated.`);
  const required = [...request.headers.keys()].filter(
    (name) => name.startsWith("x-amz-") && !(mayLeaveTokenUnsigned && name === "x-amz-security-token"),
  );
  required.push("host", ...(expiresInSeconds === undefined ? ["x-amz-date"] : []));
  for (const name of required)
    if (!signedHeaders.includes(name)) throw invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
  for (const name of signedHeaders)
    if (!request.headers.has(name)) throw invalid(`'${name}' is a 'SignedHeader' and is not in the request.`);
}

function assertScope<Credential extends KnownCredential>(
  { scope, amzDate }: Authorization,
  expected: SignatureExpectations<Credential>,
): void {
  if (scope.day !== amzDate.slice(0, 8))
    throw invalid(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${scope.day}' != '${amzDate.slice(0, 8)}', from '${amzDate}'.`,
    );
  if (scope.service !== expected.service)
    throw invalid(`Credential should be scoped to correct service: '${expected.service}'.`);
  if (!expected.regions.has(scope.region)) throw invalid("Credential should be scoped to a valid region.");
}

function assertSkew({ amzDate, expiresInSeconds }: Authorization, now: Date, maxSkewMs: number): void {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate) ?? [];
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(signedAt))
    throw invalid("Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601");
  const lifeMs = expiresInSeconds === undefined ? maxSkewMs : expiresInSeconds * 1000;
  const earliest = now.getTime() - lifeMs;
  if (signedAt < earliest)
    throw invalid(
      `Signature expired: ${amzDate} is now earlier than ${amzTime(earliest)} (${amzTime(now)} - ${lifeMs / 60_000} min.)`,
    );
  const latest = now.getTime() + maxSkewMs;
  if (signedAt > latest)
    throw invalid(
      `Signature not yet current: ${amzDate} is still later than ${amzTime(latest)} (${amzTime(now)} + ${maxSkewMs / 60_000} min.)`,
    );
}

function identify<Credential extends KnownCredential>(
  { accessKeyId, sessionToken }: Authorization,
  find: (accessKeyId: string) => Credential | undefined,
): Credential {
  const credential = find(accessKeyId);
  if (!credential || !sameText(sessionToken ?? "", credential.sessionToken ?? ""))
    throw new AwsFault("UnrecognizedClientException", "The security token included in the request is invalid.");
  return credential;
}

function compareSignature<Credential extends KnownCredential>(
  request: ReceivedRequest,
  { amzDate, scope, signedHeaders, signature }: Authorization,
  secretAccessKey: string,
  { path = "normalized", mayLeaveTokenUnsigned = false, keyFor = signingKey }: SignatureExpectations<Credential>,
): void {
  const uncovered = new Set(["X-Amz-Signature", ...(mayLeaveTokenUnsigned ? ["X-Amz-Security-Token"] : [])]);
  const canonical = canonicalRequest(request, { signedHeaders, path, uncovered });
  const calculated = sign(keyFor(secretAccessKey, scope), stringToSign(amzDate, scope, canonical));
  const contentHash = headerValues(request, "x-amz-content-sha256")[0];
  const isItsBody = contentHash === undefined || contentHash === sha256Hex(request.body);
  if (!sameText(signature, calculated) || !isItsBody)
    throw invalid(
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    );
}

/** The time tells the length, which is public, and not the content. */
function sameText(a: string, b: string): boolean {
  const [given, known] = [Buffer.from(a), Buffer.from(b)];
  return given.length === known.length && timingSafeEqual(given, known);
}

function amzTime(time: Date | number): string {
  return new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

function invalid(message: string): AwsFault {
  return new AwsFault("InvalidSignatureException", message);
}
