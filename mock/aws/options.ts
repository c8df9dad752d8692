/**
 * What a mock AWS is started with, and the guards before it starts.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { MockAccount } from "./directory.ts";

export interface MockAwsOptions {
  readonly accounts: readonly MockAccount[];
  /** E.g. `["eu-central-1"]`. */
  readonly regions: readonly string[];
  /** DER. The roots that attestation documents may start at; with none, every document is refused. */
  readonly attestationRoots: readonly Uint8Array[];
  /**
   * Oldest attestation document that is accepted, in milliseconds. AWS documents no maximum; 300 000 is what people
   * report, and the default.
   */
  readonly maxDocumentAgeMs?: number;
  /** The emulator's time; the machine's if absent. TLS certificates follow the machine's in any case. */
  readonly now?: () => Date;
  /** Any free one if absent. */
  readonly port?: number;
  /** How long a client may take to send a request, in milliseconds; 15 000 if absent. */
  readonly requestTimeoutMs?: number;
}

/** Mock mode holds no secret that is worth one, and must never stand where real ones are. */
export function refuseProduction(nodeEnv: string | undefined): void {
  if (nodeEnv === "production")
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", {
      field: "NODE_ENV",
      expected: "not production: this is a mock AWS",
      actual: "production",
    });
}

/** The same options with defaults in place, read once. @throws {ConfigError} */
export function readOptions(options: MockAwsOptions): Required<MockAwsOptions> {
  const { accounts, regions, attestationRoots, maxDocumentAgeMs = 300_000, requestTimeoutMs = 15_000 } = options;
  const { now = () => new Date(), port = 0 } = options;
  for (const [i, region] of regions.entries())
    demand(/^[a-z]{2}(-[a-z]+)+-\d$/.test(region), `regions[${i}]`, "a region like eu-central-1", "another form");
  demand(regions.length > 0, "regions", "at least one region", "empty");
  demand(Number.isFinite(maxDocumentAgeMs) && maxDocumentAgeMs > 0, "maxDocumentAgeMs", "above 0", "not");
  demand(Number.isFinite(requestTimeoutMs) && requestTimeoutMs > 0, "requestTimeoutMs", "above 0", "not");
  demand(Number.isInteger(port) && port >= 0 && port < 65_536, "port", "0 to 65535", "not");
  return { accounts, regions, attestationRoots, maxDocumentAgeMs, now, port, requestTimeoutMs };
}

function demand(holds: boolean, field: string, expected: string, actual: string): void {
  if (!holds) throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
