/**
 * What the parent tells its operator: events, counts, and the bytes themselves for who wants to look.
 *
 * The parent is assumed hostile, so it may look at everything it forwards. That is what a tap is for: whoever doubts
 * that the parent sees ciphertext only can search what it saw.
 *
 * @module
 */

export type Service = "egress" | "credentials" | "log" | "ingress";

/** Which way bytes go: out of the enclave, or towards it. */
export type Direction = "from-enclave" | "to-enclave";

/** Sees each byte that crosses the parent, in order within a connection and direction. Must not change the bytes. */
export type Tap = (connectionId: string, direction: Direction, bytes: Uint8Array) => void;

/** Something that happened. Never holds payload bytes, credentials, or text that a peer chose but in canonical form. */
export interface ParentEvent {
  readonly service: Service;
  readonly event: "accepted" | "connected" | "refused" | "failed" | "closed" | "full";
  readonly connectionId: string;
  /** The canonical target, where one is known. */
  readonly target?: string;
  /** A code of this toolkit, or the system's. */
  readonly code?: string;
}

export type ParentLog = (event: ParentEvent) => void;

/** How many connections a service has and had. */
export interface ServiceStats {
  readonly open: number;
  readonly accepted: number;
  /** Refused by a rule: not on the allowlist, malformed, or too many. */
  readonly refused: number;
  /** Could not be served: unreachable, reset, out of time. */
  readonly failed: number;
}

/** What every service of the parent is once it runs. */
export interface RunningService extends AsyncDisposable {
  stats(): ServiceStats;
  close(): Promise<void>;
}

/** The code to log for whatever was thrown. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "ERR_UNSPECIFIED";
}
