/**
 * Reads what came of a step of an example: refusals of every kind as one, and what the parent saw.
 *
 * @module
 */
import { kmsFailure } from "../../enclave/kms/failures.ts";
import { isToolkitError, RemoteError } from "../../shared/errors/index.ts";

/** In clear in every TLS handshake: what a search that works must find. */
const CONTROL = Buffer.from("http/1.1");

/** The answer, where it is none of a refusal. @throws {RemoteError} */
export async function accepted(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  const { code = `ERR_HTTP_${response.status}`, message = text } = readJson(text);
  throw new RemoteError(code, "refused by policy", message, {});
}

function readJson(text: string): { readonly code?: string; readonly message?: string } {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** What the AWS SDK throws, as a refusal with a code. */
export async function named(attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    const isSdk = error instanceof Error && "$fault" in error && !isToolkitError(error);
    throw isSdk ? kmsFailure("it", error) : error;
  }
}

/** What was searched for and not found, in words. @throws {Error} something was found, or the search finds nothing */
export function searched(
  saw: (bytes: Buffer) => boolean,
  secrets: Readonly<Record<string, Uint8Array | string>>,
): string {
  if (!saw(CONTROL)) throw new Error("the search does not find what the parent carries in clear");
  const found = Object.entries(secrets).filter(([, secret]) => saw(Buffer.from(secret)));
  if (found.length > 0) throw new Error(`the parent saw ${found.map(([name]) => name).join(", ")}`);
  return `not found: ${Object.keys(secrets).join(", ")}`;
}
