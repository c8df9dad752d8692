/**
 * Writes one line of JSON for what the log destinations take: a record of the enclave, or an event of the parent.
 *
 * `from` says which, and stands before anything that was sent; what the enclave chose stands inside `event` and
 * `fields` only. So no text of an enclave makes a line that reads as the parent's. Fields are taken one by one: what
 * else an object holds stays behind.
 *
 *   {"time":"…","from":"enclave","level":"info","event":"started","fields":{…}}
 *   {"time":"…","from":"parent","level":"warn","service":"egress","event":"refused","code":"…","target":"…"}
 *
 * @module
 */
import { escapeControls, type LogLevel, type LogRecord } from "./log-record.ts";
import type { ParentEvent, ParentEventName } from "./observe.ts";

/** What a destination takes. */
export type LogEntry = LogRecord | ParentEvent;

const LEVELS: Readonly<Record<ParentEventName, LogLevel>> = {
  accepted: "debug",
  connected: "debug",
  closed: "debug",
  refused: "warn",
  failed: "warn",
  full: "warn",
  paused: "warn",
  unhealthy: "warn",
  healthy: "info",
  resumed: "info",
  reloaded: "info",
  draining: "info",
  drained: "info",
  "events-left-out": "warn",
};

/** A DNS name has 253 characters, and `:65535` follows. Codes are shorter. */
const TEXT_MAX = 300;

/** The level that an event of the parent is written at. */
export function levelOf({ event, code }: ParentEvent): LogLevel {
  const level = LEVELS[event] ?? "warn";
  // A reload that was refused is told by its code.
  return level === "info" && code !== undefined ? "error" : level;
}

/** The line, without its end. */
export function formatEntry(entry: LogEntry, atMs: number): string {
  const time = new Date(atMs).toISOString();
  if ("service" in entry) return formatEvent(entry, time);
  const { level, cid, event, fields, truncated } = entry;
  return JSON.stringify({ time, from: "enclave", level, cid, event, fields, ...(truncated && { truncated }) });
}

/** The line that stands where lines are missing. */
export function formatGap(count: number, atMs: number): string {
  const time = new Date(atMs).toISOString();
  return JSON.stringify({ time, from: "parent", level: "warn", event: "log lines dropped", count });
}

function formatEvent(entry: ParentEvent, time: string): string {
  const { service, event, connectionId, cid, durationMs, bytesFromEnclave, bytesToEnclave, count } = entry;
  const rounded = durationMs === undefined ? undefined : Math.round(durationMs);
  return JSON.stringify({
    time,
    from: "parent",
    level: levelOf(entry),
    service: clean(service),
    event: clean(event),
    connectionId: clean(connectionId),
    cid,
    target: clean(entry.target),
    code: clean(entry.code),
    durationMs: rounded,
    bytesFromEnclave,
    bytesToEnclave,
    count,
  });
}

function clean(text: string | undefined): string | undefined {
  return text === undefined ? undefined : escapeControls(text.slice(0, TEXT_MAX));
}
