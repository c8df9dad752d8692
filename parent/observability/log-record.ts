/**
 * Makes a record of what an enclave sent as a log event: data that cannot do harm where it is shown.
 *
 *   shape     a level, an event name, flat fields; anything else is no record
 *   size      text is cut, fields beyond the limits are left out, and the record says so
 *   escape    control characters, line and paragraph separators, bidirectional marks become `\u{…}`
 *
 * The text is still the enclave's: show it as text, never as markup, a format string or a command.
 *
 * @module
 */
import { isJsonObject, type Json } from "../../shared/transport/json.ts";

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
  /** Which enclave sent it, where the transport knows: with several behind one parent. */
  readonly cid?: number;
}

const TEXT_MAX = 2_048;
const NAME_MAX = 128;
const FIELDS_MAX = 32;

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
