/**
 * Decides whether trying again could help.
 *
 *   no    the image is not the expected one, an option is wrong, this host lacks the platform, a mistake in code
 *   yes   everything else: what a tool, a boot, the memory of the moment or a file being replaced may cause
 *
 * @module
 */
import { ToolkitError } from "../../shared/errors/toolkit-error.ts";

/** Of the kinds that are final, the codes that are not: they come and go with what else happens on the host. */
const PASSING: ReadonlySet<string> = new Set([
  "ERR_EIF_FILE",
  "ERR_LAUNCHER_CID_TAKEN",
  "ERR_LAUNCHER_ENCLAVE_UNKNOWN",
  "ERR_LAUNCHER_PCR_MISMATCH",
  "ERR_LAUNCHER_TOOL_ANSWER",
  "ERR_LAUNCHER_TOOL_FAILED",
]);

export function isFinal(error: Error): boolean {
  if (error instanceof ToolkitError) return error.kind !== "unreachable" && !PASSING.has(error.code);
  return error instanceof TypeError || error instanceof RangeError;
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
