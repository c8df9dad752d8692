/**
 * The KMS client of an enclave: the unmodified AWS SDK, attested, over TLS that ends here, through the parent's proxy.
 *
 * The endpoint is the region's own name and is not an option: whoever answers must hold a certificate for it under the
 * roots baked into the image. Redirects are not followed. Nothing is read from the environment or from configuration
 * files.
 *
 * @module
 */
import type { Agent } from "node:https";
import { KMS } from "@aws-sdk/client-kms";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { KmsError } from "../../shared/errors/index.ts";
import { type AttestedOptions, attested } from "./attested.ts";
import { type Credentials, type Identity, pinnedRole } from "./role.ts";

export { kmsFailure } from "./failures.ts";

export interface AttestedKmsOptions extends AttestedOptions {
  readonly region: string;
  readonly agent: Agent;
  readonly credentials: Credentials;
  /**
   * The only role whose credentials are used; any if absent. STS is asked, so the parent must forward to
   * `sts.<region>.amazonaws.com`.
   */
  readonly expectedRoleArn?: string;
}

const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** By how much KMS's time may correct the time of signatures. Certificates are judged by the clock in any case. */
const SKEW_MAX_MS = 3_600_000;

/**
 * Makes the client.
 *
 * Its calls throw `KmsError`, `TransportError` or the SDK's own exceptions; `kmsFailure` gives them one shape.
 *
 * @throws {TypeError} not a region, not the ARN of a role
 * @throws {RangeError} another option
 */
export function createAttestedKms(options: AttestedKmsOptions): KMS {
  const { region, credentials, expectedRoleArn } = options;
  if (!/^[a-z]{2}(-[a-z]+)+-[0-9]$/.test(region)) throw new TypeError(`not a region: ${JSON.stringify(region)}`);
  const callerArn = (identity: Identity): Promise<string> => askCaller(options, identity);
  const kms = new KMS({
    ...fixedConfig(options, "kms"),
    credentials: expectedRoleArn === undefined ? credentials : pinnedRole({ credentials, expectedRoleArn, callerArn }),
  });
  boundClockOffset(kms.config);
  kms.middlewareStack.use(attested(options));
  return kms;
}

function fixedConfig({ region, agent }: AttestedKmsOptions, service: "kms" | "sts") {
  return {
    region,
    endpoint: `https://${service}.${region}.amazonaws.com`,
    maxAttempts: 3, // of STS; the plugin counts for KMS
    retryMode: "standard" as const,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    defaultsMode: "standard" as const,
    requestHandler: new NodeHttpHandler({
      httpsAgent: agent,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    }),
  };
}

/** The ARN of whoever these credentials are. */
async function askCaller(options: AttestedKmsOptions, identity: Identity): Promise<string> {
  const sts = new STSClient({ ...fixedConfig(options, "sts"), credentials: identity });
  const { Arn } = await sts.send(new GetCallerIdentityCommand({}));
  return Arn ?? "nobody";
}

/** The SDK takes KMS's time for signatures, however far off; further than this, calls fail by name. */
function boundClockOffset(config: KMS["config"]): void {
  let offsetMs = 0;
  Object.defineProperty(config, "systemClockOffset", {
    get: () => offsetMs,
    set: (skewMs: number) => {
      if (Math.abs(skewMs) > SKEW_MAX_MS) {
        throw new KmsError("ERR_KMS_CLOCK_SKEW", { skewMs, maximumMs: SKEW_MAX_MS });
      }
      offsetMs = skewMs;
    },
  });
}
