/**
 * Takes the enclave's log events and gives them to the operator's sink, as data that cannot do harm.
 *
 *   shape      a level, an event name, flat fields; anything else is dropped and counted
 *   size       text is cut, fields beyond the limits are left out
 *   escape     control characters, line and paragraph separators, bidirectional marks become `\u{…}`
 *   rate       a bucket of 1 000 records, filled with 200 a second; what overflows is counted and told
 *
 * The text is still the enclave's: show it as text, never as markup, a format string or a command.
 *
 * @module
 */
import type { Address } from "../shared/transport/address.ts";
import { isJsonObject, type Json } from "../shared/transport/json.ts";
import { serveChannel } from "../shared/transport/serve-channel.ts";
import type { Transport } from "../shared/transport/transport.ts";
import type { ParentLog, Tap } from "./observe.ts";
import { type Connection, type ListeningService, listenService, type Outcome } from "./service.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogValue = string | number | boolean | null;

/** One line of the enclave's log, cleaned. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: Readonly<Record<string, LogValue>>;
  /** Whether something was cut or left out. */
  readonly truncated: boolean;
}

export type LogSink = (record: LogRecord) => void;

export interface LogSinkOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly sink: LogSink;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  /** How many connections at once. Default 64. */
  readonly maxConnections?: number;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: () => number;
}

const FRAME_BYTES_MAX = 65_536;
const TEXT_MAX = 2_048;
const NAME_MAX = 128;
const FIELDS_MAX = 32;
const BURST = 1_000;
const PER_SECOND = 200;

/** @throws {TransportError} the address can not be bound */
export async function startLogSink(options: LogSinkOptions): Promise<ListeningService> {
  const { transport, address, allowedCids, sink, log, tap, maxConnections = 64 } = options;
  const gate = new RateGate(sink, options.monotonicMs ?? (() => performance.now()));

  async function serve({ id, socket }: Connection): Promise<Outcome> {
    const channel = serveChannel(
      socket,
      { events: { log: (body) => gate.take(body) } },
      {
        maxFrameBytes: FRAME_BYTES_MAX,
        tap: (direction, bytes) => tap?.(id, direction === "received" ? "from-enclave" : "to-enclave", bytes),
      },
    );
    const fault = await channel.closed;
    if (fault) throw fault;
    return "served";
  }

  return listenService({ service: "log", transport, address, allowedCids, log, maxConnections, serve });
}

/** A token bucket over all connections together. */
class RateGate {
  readonly #sink: LogSink;
  readonly #now: () => number;
  #tokens = BURST;
  #filledAt: number;
  #dropped = 0;

  constructor(sink: LogSink, now: () => number) {
    this.#sink = sink;
    this.#now = now;
    this.#filledAt = now();
  }

  take(body: Json): void {
    const now = this.#now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / 1_000) * PER_SECOND);
    this.#filledAt = now;
    const record = sanitizeLogEvent(body);
    if (!record || this.#tokens < 1) {
      this.#dropped++;
      return;
    }
    this.#tokens--;
    if (this.#dropped > 0) {
      const fields = { count: this.#dropped };
      this.#dropped = 0;
      this.#sink({ level: "warn", event: "log records dropped by the parent", fields, truncated: false });
    }
    this.#sink(record);
  }
}

/** Makes a record of what came in a log event; undefined when it is none. */
export function sanitizeLogEvent(body: Json): LogRecord | undefined {
  if (!isJsonObject(body)) return undefined;
  const level = LOG_LEVELS.find((known) => known === body["level"]);
  const event = body["event"];
  const given = body["fields"] ?? {};
  if (level === undefined || typeof event !== "string" || !isJsonObject(given)) return undefined;
  const entries = Object.entries(given);
  let truncated = entries.length > FIELDS_MAX;
  const clean = (text: string, maximum: number): string => {
    if (text.length > maximum) truncated = true;
    return escapeControls(text.slice(0, maximum));
  };
  const fields: Record<string, LogValue> = {};
  for (const [name, value] of entries.slice(0, FIELDS_MAX)) {
    if (typeof value === "object" && value !== null) truncated = true;
    else fields[clean(name, NAME_MAX)] = typeof value === "string" ? clean(value, TEXT_MAX) : value;
  }
  return { level, event: clean(event, NAME_MAX), fields, truncated };
}

/** Makes visible what a terminal or a log viewer would obey instead of show, and what is not a character at all. */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
