/**
 * The KMS client of an enclave: the unmodified AWS SDK, attested, over TLS that ends here, through the parent's proxy.
 *
 * The endpoint is the region's own name and is not an option: whoever answers must hold a certificate for it under the
 * roots baked into the image. Nothing is read from the environment or from configuration files.
 *
 * @module
 */
import type { Agent } from "node:https";
import { KMS, type KMSClientConfig } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { isToolkitError, KmsError, type ToolkitError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { attested } from "./attested.ts";
import type { RecipientKeys } from "./recipient-keys.ts";

export interface AttestedKmsOptions {
  readonly region: string;
  readonly agent: Agent;
  readonly credentials: NonNullable<KMSClientConfig["credentials"]>;
  readonly nsm: Pick<NsmDevice, "attest">;
  readonly keys: RecipientKeys;
  /** Attempts for a call, the first included; default 3. Throttling and server faults are tried again. */
  readonly maxAttempts?: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 20_000;

export function createAttestedKms(options: AttestedKmsOptions): KMS {
  const { region, agent, credentials, nsm, keys, maxAttempts = 3 } = options;
  if (!/^[a-z]{2}(-[a-z]+)+-[0-9]$/.test(region)) throw new TypeError(`not a region: ${JSON.stringify(region)}`);
  const kms = new KMS({
    region,
    credentials,
    endpoint: `https://kms.${region}.amazonaws.com`,
    maxAttempts,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    defaultsMode: "standard",
    requestHandler: new NodeHttpHandler({
      httpsAgent: agent,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    }),
  });
  kms.middlewareStack.use(attested({ nsm, keys }));
  return kms;
}

/** A failure of a KMS call as a refusal of this toolkit: what KMS said, by name, or that it could not be reached. */
export function kmsFailure(operation: string, error: unknown): ToolkitError {
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
