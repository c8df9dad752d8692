/**
 * What the benchmark's processes say to each other.
 *
 * @module
 */

/** The header in which the server says how long an answer took it, in microseconds. */
export const SERVER_TIME = "x-server-microseconds";

/** What the emulator of the burst prints when it is ready. */
export interface EmulatorReady {
  readonly url: string;
  readonly caCertificatePem: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken: string;
  };
  readonly keyArn: string;
  /** Base64. */
  readonly blob: string;
}

/** What its audit trail counted. */
export interface EmulatorCount {
  readonly accepted: number;
  readonly throttled: number;
}

export const BURST_PER_SECOND = 100;
