/**
 * Passes on events at a bounded rate: whoever can open connections can not drown what else happens.
 *
 * Events of connections are limited, those of services never are. What was left out is counted and told with the next
 * event that passes. Metrics count everything all the same.
 *
 * @module
 */
import type { ParentEvent, ParentLog } from "./observe.ts";
import { type RateLimit, TokenBucket } from "./rate.ts";

export interface LimitEventsOptions {
  /** Default 1 000 at once and 100 a second. */
  readonly limit?: RateLimit;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: () => number;
}

export function limitEvents(tell: ParentLog, options: LimitEventsOptions = {}): ParentLog {
  const { limit = { burst: 1_000, perSecond: 100 }, monotonicMs = () => performance.now() } = options;
  const bucket = new TokenBucket(limit, monotonicMs);
  let leftOut = 0;
  return (event: ParentEvent) => {
    if (event.connectionId !== undefined) {
      if (!bucket.has(1)) return void leftOut++;
      bucket.take(1);
    }
    if (leftOut > 0) tell({ service: "parent", event: "events-left-out", count: leftOut });
    leftOut = 0;
    tell(event);
  };
}
