/**
 * The enclave's log: structured events to the parent's sink.
 *
 * What is written here leaves the enclave in clear and the parent reads it: names, counts, codes and times, never data.
 * Logging must not stop the work it tells about, so `write` never throws and never waits. Up to 1 000 events and 1 MiB
 * wait for a parent that is slow or away; more are dropped, counted, and the count is told when the parent is back.
 *
 * @module
 */

import { utf8 } from "../../shared/bytes.ts";
import { addressOf, formatAddress, type Peer } from "../../shared/transport/address.ts";
import { type Channel, openChannel } from "../../shared/transport/channel.ts";
import { type Json, parseJson } from "../../shared/transport/json.ts";
import { LOG_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface EnclaveLog extends AsyncDisposable {
  /** Writes one event. Never throws; what can not be written is counted in `dropped`. */
  write(level: LogLevel, event: string, fields?: Readonly<Record<string, string | number | boolean | null>>): void;
  /** How many events were not sent, since the start. */
  readonly dropped: number;
  /** Sends what waits if the parent takes it within a second, and ends the connection. */
  close(): Promise<void>;
}

export interface LogOptions {
  readonly transport: Transport;
  readonly parent: Peer;
}

const EVENTS_MAX = 1_000;
const BYTES_MAX = 1_048_576;
const EVENT_BYTES_MAX = 32_768;
const RETRY_MS = 1_000;
const CLOSE_MS = 1_000;

export function createLog(options: LogOptions): EnclaveLog {
  return new ParentLog(options);
}

interface Waiting {
  readonly body: Json;
  readonly size: number;
}

class ParentLog implements EnclaveLog {
  readonly #options: LogOptions;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  #dropped = 0;
  #untold = 0;
  #channel: Channel | undefined;
  #pumping: Promise<void> | undefined;
  #retryAt: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #gaveUp = false;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  get dropped(): number {
    return this.#dropped;
  }

  write(level: LogLevel, event: string, fields: Readonly<Record<string, string | number | boolean | null>> = {}): void {
    const waiting = this.#closed ? undefined : toWaiting({ level, event, fields });
    if (!waiting || this.#waiting.length >= EVENTS_MAX || this.#bytes + waiting.size > BYTES_MAX) {
      this.#dropped++;
      this.#untold++;
      return;
    }
    this.#waiting.push(waiting);
    this.#bytes += waiting.size;
    if (this.#retryAt === undefined) this.#start();
  }

  #start(): void {
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
      // What was written between the pump's last look and now.
      if (this.#waiting.length > 0 && this.#retryAt === undefined && !this.#closed) this.#start();
    });
  }

  /** Sends what waits. A parent that can not be reached is tried again after a second. */
  async #pump(): Promise<void> {
    try {
      const channel = await this.#connected();
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        if (this.#untold > 0) {
          const told: Json = { level: "warn", event: "log events dropped", fields: { count: this.#untold } };
          channel.event("log", told);
          this.#untold = 0;
        }
        channel.event("log", next.body);
        this.#waiting.shift();
        this.#bytes -= next.size;
        await channel.drained();
      }
    } catch {
      // There is nowhere to tell it: the log is what failed.
      this.#channel = undefined;
      if (this.#closed) return;
      this.#retryAt = setTimeout(() => {
        this.#retryAt = undefined;
        this.#start();
      }, RETRY_MS);
      this.#retryAt.unref();
    }
  }

  async #connected(): Promise<Channel> {
    if (this.#channel) return this.#channel;
    const address = addressOf(this.#options.parent, LOG_PORT);
    const socket = await this.#options.transport.connect(address, { timeoutMs: RETRY_MS });
    if (this.#gaveUp) socket.destroy();
    this.#channel = openChannel(socket, { peer: formatAddress(address) });
    return this.#channel;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retryAt);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([this.#pumping, late]);
    this.#gaveUp = true;
    await Promise.race([this.#channel?.close(), late]);
    clearTimeout(timer);
    this.#dropped += this.#waiting.length;
    this.#waiting.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The event as JSON; undefined when it has no JSON form or is too large. */
function toWaiting(event: object): Waiting | undefined {
  try {
    // The gate that the parent's reader has: what it would refuse is dropped here, and the channel stays.
    const bytes = utf8(JSON.stringify(event));
    return bytes.length > EVENT_BYTES_MAX ? undefined : { body: parseJson(bytes), size: bytes.length };
  } catch {
    return undefined;
  }
}
