/**
 * The credentials of any AWS SDK provider: a profile, a role that is assumed, a web identity, a process.
 *
 * Short-lived ones only. A key without a session token or without an end does not go into an enclave: it would be as
 * good there, and in whatever the enclave leaks, in ten years as it is today.
 *
 * @module
 */
import { TransportError } from "../../shared/errors/index.ts";
import { type ProvideCredentials, readContainerCredentials } from "./container-credentials.ts";

/** The part of the SDK's `AwsCredentialIdentity` that is read. */
export interface SdkCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}

/**
 * Makes a provider of an SDK's. What it throws is a `TransportError`: `ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE`, or
 * `ERR_TRANSPORT_CREDENTIALS_INVALID` for what is not short-lived.
 *
 * @example
 * ```ts
 * const credentials = refreshing(fromProvider(fromTemporaryCredentials({ params: { RoleArn, RoleSessionName } })));
 * ```
 */
export function fromProvider(provider: () => Promise<SdkCredentials>): ProvideCredentials {
  return async () => {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await asked(provider);
    if (sessionToken === undefined) throw invalid("sessionToken", "there: only short-lived credentials are handed on");
    if (!(expiration instanceof Date) || Number.isNaN(expiration.getTime())) throw invalid("expiration", "a Date");
    return readContainerCredentials({
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration: expiration.toISOString(),
    });
  };
}

async function asked(provider: () => Promise<SdkCredentials>): Promise<SdkCredentials> {
  try {
    return await provider();
  } catch (error) {
    // Neither the cause nor its message: an SDK's error can hold the request with its signature, or a process's output.
    const name = error instanceof Error && /^\w{1,64}$/.test(error.name) ? error.name : "unknown";
    throw new TransportError("ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE", { source: "the SDK's provider", reason: name });
  }
}

function invalid(field: string, expected: string): TransportError {
  return new TransportError("ERR_TRANSPORT_CREDENTIALS_INVALID", { field, expected });
}
