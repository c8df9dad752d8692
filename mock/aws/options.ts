/**
 * What a mock AWS is started with, and the guards before it starts.
 *
 * @module
 */
import { isIP } from "node:net";
import { demand } from "./config-field.ts";
import type { MockAccount } from "./directory.ts";
import type { MockKmsOptions } from "./kms/state.ts";
import { isRegion } from "./partition.ts";
import type { StateOption } from "./state-option.ts";

export interface MockAwsOptions {
  readonly accounts: readonly MockAccount[];
  /** E.g. `["eu-central-1"]`; of any partition. */
  readonly regions: readonly string[];
  /** DER. The roots that attestation documents may start at; with none, every document is refused. */
  readonly attestationRoots: readonly Uint8Array[];
  /**
   * Oldest attestation document that is accepted, in milliseconds. AWS documents no maximum; 300 000 is what people
   * report, and the default.
   */
  readonly maxDocumentAgeMs?: number;
  /**
   * How far ahead of this clock an attestation document, and the certificate it is signed with, may be, in
   * milliseconds; 0 to 300 000. 1 000 if absent: the hypervisor that dates it keeps time by itself, and machines that
   * keep it well agree within a second.
   */
  readonly maxDocumentFutureMs?: number;
  /** How far a client's clock may be off, either way, in milliseconds; AWS's five minutes if absent. */
  readonly maxClockSkewMs?: number;
  /** The emulator's time; the machine's if absent. TLS certificates follow the machine's in any case. */
  readonly now?: () => Date;
  /** Any free one if absent. */
  readonly port?: number;
  /** Plain HTTP if false; HTTPS if absent. */
  readonly tls?: boolean;
  /** An IP address other than 127.0.0.1: who reaches it there holds every key of this AWS. */
  readonly dangerouslyListenOn?: string;
  /** How long a client may take to send a request, in milliseconds; 15 000 if absent. */
  readonly requestTimeoutMs?: number;
  /** Open connections; one more is closed at once. 1 000 if absent. */
  readonly maxConnections?: number;
  /** Live sessions that STS has made; one more is refused as throttled. 20 000 if absent. */
  readonly maxSessions?: number;
  readonly kms?: MockKmsOptions;
  /** Where keys, aliases, grants and sessions outlive the process; in memory only if absent. */
  readonly state?: StateOption;
}

/** The options with defaults in place. */
export interface MockAwsSettings extends Required<Omit<MockAwsOptions, "dangerouslyListenOn" | "state">> {
  readonly state: StateOption | undefined;
  readonly listenOn: string;
}

/** Default of `maxDocumentFutureMs`. */
export const DOCUMENT_FUTURE_MS = 1_000;

export const LOOPBACK = "127.0.0.1";

/** The host of a URL for a client on this machine, whatever the server listens on. */
export function reachableAt(listenOn: string): string {
  if (listenOn === "0.0.0.0" || listenOn === "::") return LOOPBACK;
  return isIP(listenOn) === 6 ? `[${listenOn}]` : listenOn;
}

/** Mock mode holds no secret that is worth one, and must never stand where real ones are. */
export function refuseProduction(nodeEnv: string | undefined): void {
  demand(nodeEnv !== "production", "NODE_ENV", "not production: this is a mock AWS", "production");
}

/** The same options with defaults in place, read once. @throws {ConfigError} */
export function readOptions(options: MockAwsOptions): MockAwsSettings {
  const { accounts, regions, attestationRoots, maxDocumentAgeMs = 300_000, requestTimeoutMs = 15_000 } = options;
  const { now = () => new Date(), port = 0, tls = true, dangerouslyListenOn: listenOn = LOOPBACK } = options;
  const { maxClockSkewMs = 300_000, maxConnections = 1_000, maxSessions = 20_000, kms = {}, state } = options;
  const { maxDocumentFutureMs = DOCUMENT_FUTURE_MS } = options;
  for (const [i, region] of regions.entries())
    demand(isRegion(region), `regions[${i}]`, "a region like eu-central-1", "another form");
  demand(regions.length > 0, "regions", "at least one region", "empty");
  for (const [field, value] of Object.entries({ maxDocumentAgeMs, maxClockSkewMs, requestTimeoutMs }))
    demand(Number.isFinite(value) && value > 0, field, "above 0", "not");
  for (const [field, value] of Object.entries({ maxConnections, maxSessions }))
    demand(Number.isSafeInteger(value) && value > 0, field, "an integer above 0", "not");
  const isTolerance = maxDocumentFutureMs >= 0 && maxDocumentFutureMs <= 300_000;
  demand(isTolerance, "maxDocumentFutureMs", "0 to 300000", "not");
  demand(Number.isInteger(port) && port >= 0 && port < 65_536, "port", "0 to 65535", "not");
  demand(typeof tls === "boolean", "tls", "a boolean", typeof tls);
  demand(isIP(listenOn) !== 0, "dangerouslyListenOn", "an IP address", "another form");
  return {
    ...{ accounts, regions, attestationRoots, maxDocumentAgeMs, maxClockSkewMs, now, port, tls, listenOn },
    maxDocumentFutureMs,
    ...{ requestTimeoutMs, maxConnections, maxSessions, kms, state },
  };
}
