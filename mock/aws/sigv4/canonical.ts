/**
 * What a Signature Version 4 signature is computed over, from a request as it arrived.
 *
 *   canonical request  method, path, query, signed headers, their names, SHA-256 of the body
 *   string to sign     algorithm, time, scope, SHA-256 of the canonical request
 *   signature          HMAC-SHA-256 under a key derived from the secret for day, region and service
 *
 * Services with the JSON protocol answer on `/` alone and take no query, so path and query are written as they came.
 *
 * Source: IAM User Guide, "Create a signed AWS API request".
 *
 * @module
 */
import { createHash, createHmac } from "node:crypto";

export const SIGV4_ALGORITHM = "AWS4-HMAC-SHA256";

/** A request before anything is believed about it. Header names as sent, each occurrence by itself. */
export interface ReceivedRequest {
  readonly method: string;
  /** The request target: path and query. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** Day (`YYYYMMDD`), region and service that a signing key is for. */
export interface CredentialScope {
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

/** All values of a header in order of arrival; the name is compared without case. */
export function headerValues(request: ReceivedRequest, name: string): readonly string[] {
  return request.headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

export function canonicalRequest(request: ReceivedRequest, signedHeaders: readonly string[]): string {
  const [path = "", query = ""] = request.target.split("?", 2);
  const headers = signedHeaders.map((name) => {
    const values = headerValues(request, name).map((value) => value.trim().replaceAll(/[ \t]+/g, " "));
    return `${name}:${values.join(",")}\n`;
  });
  return [request.method, path, query, headers.join(""), signedHeaders.join(";"), sha256Hex(request.body)].join("\n");
}

export function scopeText(scope: CredentialScope): string {
  return `${scope.day}/${scope.region}/${scope.service}/aws4_request`;
}

export function stringToSign(amzDate: string, scope: CredentialScope, canonical: string): string {
  return [SIGV4_ALGORITHM, amzDate, scopeText(scope), sha256Hex(canonical)].join("\n");
}

/** The signature in lower-case hex. */
export function sign(secretAccessKey: string, scope: CredentialScope, text: string): string {
  let key: Uint8Array | string = `AWS4${secretAccessKey}`;
  for (const part of [scope.day, scope.region, scope.service, "aws4_request"]) key = hmac(key, part);
  return Buffer.from(hmac(key, text)).toString("hex");
}

export function sha256Hex(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(key: Uint8Array | string, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}
