/**
 * Reads what a request says of its own signature, from the Authorization header or from the query. Believes nothing.
 *
 *   header  Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…    and X-Amz-Date
 *   query   X-Amz-Algorithm, -Credential, -Date, -Expires, -SignedHeaders, -Signature     "presigned"
 *
 * Signature Version 2, Version 4A and a second signature beside the first are refused.
 *
 * Source: IAM User Guide, "Authentication methods", "Elements of an AWS API request signature".
 *
 * @module
 */
import { AwsFault } from "../fault.ts";
import {
  type CredentialScope,
  headerValues,
  type Parameter,
  queryParameters,
  type ReceivedRequest,
  SIGV4_ALGORITHM,
} from "./canonical.ts";

export interface Authorization {
  readonly accessKeyId: string;
  readonly scope: CredentialScope;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** As written; judged with the skew. */
  readonly amzDate: string;
  readonly sessionToken: string | undefined;
  /** Of a presigned request: how long it is good for, in seconds. */
  readonly expiresInSeconds: number | undefined;
}

/** AWS: a week. */
const MAX_EXPIRES_SECONDS = 604_800;
const PRESIGNED = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"];

/** @throws {AwsFault} no signature, none of this version, or more than one */
export function readAuthorization(request: ReceivedRequest, isPresignable: boolean): Authorization {
  const inQuery = request.target.includes("?") ? queryParameters(request.target) : [];
  const isPresigned = inQuery.some(([name]) => /^x-amz-(algorithm|signature|credential)$/i.test(name));
  const values = headerValues(request, "authorization");
  if (isPresigned && (values.length > 0 || !isPresignable))
    throw incomplete("a signature in the query is not accepted here");
  if (isPresigned) return readQuery(inQuery);
  const [value] = values;
  if (value === undefined) throw new AwsFault("MissingAuthenticationTokenException", "Missing Authentication Token");
  const parts = /^AWS4-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([^,\s]+)$/.exec(value);
  const [, credential = "", signedHeaders = "", signature = ""] = parts ?? [];
  if (values.length > 1 || !parts)
    throw incomplete(
      `Authorization header requires one ${SIGV4_ALGORITHM} with 'Credential', 'SignedHeaders' and 'Signature' parameters.`,
    );
  return {
    signedHeaders: signedHeaders.split(";"),
    signature,
    amzDate: headerValues(request, "x-amz-date")[0] ?? "",
    sessionToken: headerValues(request, "x-amz-security-token")[0],
    expiresInSeconds: undefined,
    ...readCredential(credential),
  };
}

function readQuery(parameters: readonly Parameter[]): Authorization {
  const given = new Map<string, string>();
  for (const [name, value] of parameters.filter(([name]) => /^x-amz-/i.test(name))) {
    if (given.has(name)) throw incomplete(`'${name}' must not be repeated.`);
    given.set(name, value);
  }
  const [algorithm, credential = "", amzDate = "", expires = "", signedHeaders = ""] = PRESIGNED.map((name) =>
    given.get(name),
  );
  const signature = given.get("X-Amz-Signature");
  if (algorithm !== SIGV4_ALGORITHM || signature === undefined)
    throw incomplete(`AWS query-string parameters must include ${SIGV4_ALGORITHM} and its parameters.`);
  const expiresInSeconds = /^[0-9]{1,6}$/.test(expires) ? Number(expires) : 0;
  if (expiresInSeconds < 1 || expiresInSeconds > MAX_EXPIRES_SECONDS)
    throw incomplete(`X-Amz-Expires must be a number from 1 to ${MAX_EXPIRES_SECONDS}.`);
  return {
    ...readCredential(credential),
    ...{ signedHeaders: signedHeaders.split(";"), signature, amzDate, expiresInSeconds },
    sessionToken: given.get("X-Amz-Security-Token"),
  };
}

function readCredential(credential: string): Pick<Authorization, "accessKeyId" | "scope"> {
  const [accessKeyId = "", day = "", region = "", service = "", terminator, ...rest] = credential.split("/");
  if (terminator !== "aws4_request" || rest.length > 0)
    throw new AwsFault(
      "InvalidSignatureException",
      "Credential should be scoped with a valid terminator: 'aws4_request'.",
    );
  return { accessKeyId, scope: { day, region, service } };
}

function incomplete(message: string): AwsFault {
  return new AwsFault("IncompleteSignatureException", message);
}
