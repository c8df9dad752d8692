/**
 * Decides whether trying again could help.
 *
 *   no    the image is not the expected one, an option is wrong, this host lacks the platform, a mistake in code
 *   yes   everything else: what a tool, a boot, the memory of the moment or a file being replaced may cause
 *
 * @module
 */
import { LauncherError } from "../../shared/errors/launcher.ts";
import { ToolkitError } from "../../shared/errors/toolkit-error.ts";
import { codeOf } from "../observability/observe.ts";

/** Of the kinds that are final, the codes that are not: they come and go with what else happens on the host. */
const PASSING: ReadonlySet<string> = new Set([
  "ERR_EIF_FILE",
  "ERR_LAUNCHER_CID_TAKEN",
  "ERR_LAUNCHER_ENCLAVE_UNKNOWN",
  "ERR_LAUNCHER_PCR_MISMATCH",
  "ERR_LAUNCHER_TOOL_ANSWER",
  "ERR_LAUNCHER_TOOL_FAILED",
  "ERR_TRANSPORT_HYBRID_INVALID",
  "ERR_TRANSPORT_PEER_MISMATCH",
]);

export function isFinal(error: Error): boolean {
  if (error instanceof ToolkitError) return error.kind !== "unreachable" && !PASSING.has(error.code);
  return error instanceof TypeError || error instanceof RangeError;
}

/** Why an enclave that runs was not taken into service: what is final says so itself. */
export function notReady(enclaveId: string, cause: unknown): Error {
  const error = asError(cause);
  if (isFinal(error)) return error;
  return new LauncherError("ERR_LAUNCHER_NOT_READY", { enclaveId, reason: codeOf(cause) }, { cause });
}

/** What a log is told of an error. */
export function codesOf(error: unknown): { readonly code: string; readonly cause?: string } {
  const cause = error instanceof Error ? error.cause : undefined;
  return { code: codeOf(error), ...(cause !== undefined && { cause: codeOf(cause) }) };
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
