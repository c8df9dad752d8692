/**
 * What a Signature Version 4 signature is computed over, from a request as it arrived.
 *
 *   canonical request  method, path, query, signed headers, their names, SHA-256 of the body
 *   string to sign     algorithm, time, scope, SHA-256 of the canonical request
 *   signature          HMAC-SHA-256 under a key derived from the secret for day, region and service
 *
 * Path and query are encoded anew, so that two spellings of one request have one signature. S3 alone takes the path as
 * it came: its keys may hold `//` and `..`.
 *
 * Source: IAM User Guide, "Create a signed AWS API request".
 *
 * @module
 */
import { createHmac, hash } from "node:crypto";

export const SIGV4_ALGORITHM = "AWS4-HMAC-SHA256";

/** A request before anything is believed about it. */
export interface ReceivedRequest {
  readonly method: string;
  /** The request target: path and query. */
  readonly target: string;
  /** Lower-case name → the value of each occurrence. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Uint8Array;
}

/** Day (`YYYYMMDD`), region and service that a signing key is for. */
export interface CredentialScope {
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

/** How a service wants the path: every service but S3 takes it without `.`, `..` and `//`. */
export type PathForm = "normalized" | "verbatim";

export interface CanonicalForm {
  readonly signedHeaders: readonly string[];
  readonly path: PathForm;
  /** Query parameters that the signature does not cover: the signature itself. */
  readonly uncovered: ReadonlySet<string>;
}

export type Parameter = readonly [name: string, value: string];

export function gatherHeaders(pairs: Iterable<Parameter>): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (const [given, value] of pairs) {
    const name = given.toLowerCase();
    const values = headers.get(name);
    if (values) values.push(value);
    else headers.set(name, [value]);
  }
  return headers;
}

/** All values of a header in order of arrival; the name in lower case. */
export function headerValues(request: Pick<ReceivedRequest, "headers">, name: string): readonly string[] {
  return request.headers.get(name) ?? [];
}

/** The parameters of a request target's query, decoded. A `+` is a plus. */
export function queryParameters(target: string): readonly Parameter[] {
  const at = target.indexOf("?");
  if (at < 0) return [];
  const pieces = target.slice(at + 1).split("&");
  return pieces.filter((piece) => piece !== "").map((piece) => splitParameter(piece, decode));
}

export function splitParameter(piece: string, decodePart: (text: string) => string): Parameter {
  const equals = piece.indexOf("=");
  if (equals < 0) return [decodePart(piece), ""];
  return [decodePart(piece.slice(0, equals)), decodePart(piece.slice(equals + 1))];
}

export function canonicalRequest(request: ReceivedRequest, form: CanonicalForm): string {
  const headers = form.signedHeaders.map((name) => {
    const values = headerValues(request, name).map((value) => value.trim().replaceAll(/\s+/g, " "));
    return `${name}:${values.join(",")}\n`;
  });
  const query = canonicalQuery(queryParameters(request.target), form.uncovered);
  const names = form.signedHeaders.join(";");
  const path = canonicalPath(request.target.split("?", 1)[0] ?? "", form.path);
  return [request.method, path, query, headers.join(""), names, sha256Hex(request.body)].join("\n");
}

function canonicalPath(path: string, form: PathForm): string {
  if (path === "/") return path;
  if (form === "verbatim") return path.replaceAll(/[^/%]+/g, encode);
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "." && segment !== "") kept.push(encode(segment));
  }
  const isFolder = ["", ".", ".."].includes(segments.at(-1) ?? "") && kept.length > 0;
  return `/${kept.join("/")}${isFolder ? "/" : ""}`;
}

function canonicalQuery(parameters: readonly Parameter[], uncovered: ReadonlySet<string>): string {
  return parameters
    .filter(([name]) => !uncovered.has(name))
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** RFC 3986: all but the unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What is not an escape stands for itself; the signature then says whether the signer saw it so. */
function decode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    return text;
  }
}

export function scopeText(scope: CredentialScope): string {
  return `${scope.day}/${scope.region}/${scope.service}/aws4_request`;
}

export function stringToSign(amzDate: string, scope: CredentialScope, canonical: string): string {
  return [SIGV4_ALGORITHM, amzDate, scopeText(scope), sha256Hex(canonical)].join("\n");
}

/** The key for one day, region and service. */
export function signingKey(secretAccessKey: string, scope: CredentialScope): Uint8Array {
  let key: Uint8Array | string = `AWS4${secretAccessKey}`;
  for (const part of [scope.day, scope.region, scope.service]) key = hmac(key, part);
  return hmac(key, "aws4_request");
}

/** The signature in lower-case hex. */
export function sign(key: Uint8Array, text: string): string {
  return createHmac("sha256", key).update(text).digest("hex");
}

export function sha256Hex(data: Uint8Array | string): string {
  return hash("sha256", data, "hex");
}

function hmac(key: Uint8Array | string, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}
