/**
 * One connection of a listening service, as whoever serves it sees it.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { ParentEvent, ParentEventName } from "../observability/observe.ts";
import type { Traffic } from "./tunnel.ts";

/** What a connection came to. */
export type Outcome = "served" | "refused";

export type ConnectionFacts = Pick<
  ParentEvent,
  "target" | "code" | "durationMs" | "bytesFromEnclave" | "bytesToEnclave"
>;

export interface Connection {
  readonly id: string;
  readonly socket: Duplex;
  /** Over vsock, who connected. */
  readonly cid?: number;
  /** Aborts when the service wants it over: at a deadline, at the end, or since its peer is known to be gone. */
  readonly signal: AbortSignal;
  /** What crossed so far; whoever forwards the bytes counts them here. */
  readonly traffic: Traffic;
  readonly log: (event: ParentEventName, facts?: ConnectionFacts) => void;
}
