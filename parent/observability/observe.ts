/**
 * What the parent tells its operator: events, counts, and the bytes themselves for who wants to look.
 *
 * The parent is assumed hostile, so it may look at everything it forwards. That is what a tap is for: whoever doubts
 * that the parent sees ciphertext only can search what it saw.
 *
 * @module
 */
import type { Address } from "../../shared/transport/address.ts";

export type Service = "egress" | "credentials" | "configuration" | "log" | "ingress";

/** Which way bytes go: out of the enclave, or towards it. */
export type Direction = "from-enclave" | "to-enclave";

/** Sees each byte that crosses the parent, in order within a connection and direction. Must not change the bytes. */
export type Tap = (connectionId: string, direction: Direction, bytes: Uint8Array) => void;

/**
 * What happened.
 *
 *   of a connection   accepted, then connected | refused | failed, then closed; or full alone
 *   of the service    paused, resumed, draining, drained
 *   of the parent     reloaded, with a code where that was refused; events-left-out
 *   of a target       unhealthy, healthy
 */
export type ParentEventName =
  | "accepted"
  | "connected"
  | "refused"
  | "failed"
  | "closed"
  | "full"
  | "paused"
  | "resumed"
  | "reloaded"
  | "draining"
  | "drained"
  | "unhealthy"
  | "healthy"
  | "events-left-out";

/** Something that happened. Never holds payload bytes, credentials, or text that a peer chose but in canonical form. */
export interface ParentEvent {
  readonly service: Service | "parent";
  readonly event: ParentEventName;
  /** Absent for events of the service. */
  readonly connectionId?: string;
  /** Who connected, over vsock. */
  readonly cid?: number;
  /** The canonical target, where one is known. */
  readonly target?: string;
  /** A code of this toolkit, or the system's. */
  readonly code?: string;
  /** How long it took, by a clock that only goes forward. */
  readonly durationMs?: number;
  /** At `closed`: what crossed. */
  readonly bytesFromEnclave?: number;
  readonly bytesToEnclave?: number;
  /** Of service events: how many it is about. */
  readonly count?: number;
}

export type ParentLog = (event: ParentEvent) => void;

/** What a service has and had; all but `open` only grow. */
export interface ServiceStats {
  readonly open: number;
  readonly accepted: number;
  /** Refused by a rule: not on the allowlist, malformed. */
  readonly refused: number;
  /** Could not be served: unreachable, reset, out of time. */
  readonly failed: number;
  /** Turned away because a limit was reached. */
  readonly full: number;
  readonly bytesFromEnclave: number;
  readonly bytesToEnclave: number;
  /** How often accepting rested because the system ran out of something. */
  readonly acceptPauses: number;
}

export interface EgressStats extends ServiceStats {
  readonly resolutions: number;
  readonly resolutionFailures: number;
  readonly connectFailures: number;
}

/** What every service of the parent is once it runs. */
export interface ListeningService extends AsyncDisposable {
  /** Where it listens; with the port that the system chose. */
  readonly address: Address;
  stats(): ServiceStats;
  /**
   * Stops accepting at once, and resolves when the last connection is over; at the deadline it destroys those that
   * are left and says how many.
   */
  drain(deadlineMs: number): Promise<{ readonly forced: number }>;
  /** Stops accepting and destroys what is open. */
  close(): Promise<void>;
}

/** The code to log for whatever was thrown. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "ERR_UNSPECIFIED";
}
