/**
 * Reads what the AWS SDK throws: whether another attempt may help, and what to call it for whoever asked.
 *
 *   throttled   KMS counted too many requests
 *   transient   nobody was reached, or KMS says it is at fault
 *   clock       the signature's time was off; the SDK knows KMS's time now
 *   document    KMS took no offence at the caller and refused the request's form: perhaps the document's age
 *   final       all else
 *
 * KMS's texts are not looked at: they are not documented.
 *
 * @module
 */
import { isToolkitError, KmsError, type ToolkitError } from "../../shared/errors/index.ts";

export type AttemptFailure = "throttled" | "transient" | "clock" | "document" | "final";

const THROTTLING: ReadonlySet<string> = new Set([
  ...["ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException"],
]);
const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  ...["ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE", "ETIMEDOUT"],
  ...["EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN"],
]);

interface SdkError {
  readonly $response?: { body?: unknown };
  readonly code?: unknown;
  readonly $fault?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown; readonly clockSkewCorrected?: unknown };
}

export function failureOf(error: unknown): AttemptFailure {
  if (isToolkitError(error)) return isTransport(error) && error.kind === "unreachable" ? "transient" : "final";
  if (!(error instanceof Error)) return "final";
  const { code, $metadata } = error as Error & SdkError;
  const status = $metadata?.httpStatusCode;
  if (status === 429 || THROTTLING.has(error.name)) return "throttled";
  if ($metadata?.clockSkewCorrected === true) return "clock";
  if (typeof status === "number" && status >= 500) return "transient";
  if (error.name === "TimeoutError" || (typeof code === "string" && TRANSIENT_CODES.has(code))) return "transient";
  return error.name === "ValidationException" ? "document" : "final";
}

function isTransport({ code }: ToolkitError): boolean {
  return code.startsWith("ERR_TRANSPORT_");
}

/**
 * The same error without the request that the SDK keeps in it, whose head has the session token. One over an answer that is
 * no JSON quotes the answer, which may hold a data key: another stands in its place.
 */
export function withoutExchange(operation: string, error: unknown): unknown {
  const { $response } = (error ?? {}) as SdkError;
  if ($response) $response.body = undefined;
  if (!(error instanceof Error) || error.name !== "SyntaxError") return error;
  return new KmsError("ERR_KMS_UNREACHABLE", { operation, reason: "the answer is no JSON" });
}

/** A failure of a KMS call as a refusal of this toolkit: what KMS said, by name, or that it could not be reached. */
export function kmsFailure(operation: string, thrown: unknown): ToolkitError {
  const error = withoutExchange(operation, thrown);
  if (isToolkitError(error)) return error;
  const { name, message, $fault } = describe(error);
  const reason = printable(message);
  if (name === "AccessDeniedException") {
    return new KmsError("ERR_KMS_ACCESS_DENIED", { operation, reason }, { cause: error });
  }
  if ($fault !== undefined)
    return new KmsError("ERR_KMS_REFUSED", { operation, error: name, reason }, { cause: error });
  return new KmsError("ERR_KMS_UNREACHABLE", { operation, reason: reason || name }, { cause: error });
}

function describe(error: unknown): { name: string; message: string; $fault?: string } {
  if (!(error instanceof Error)) return { name: "unknown", message: "" };
  const { $fault, code } = error as { $fault?: string; code?: string };
  return { name: error.name, message: code ?? error.message, ...($fault !== undefined && { $fault }) };
}

/** At most 500 printable characters of a text that came from outside. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 500);
}
