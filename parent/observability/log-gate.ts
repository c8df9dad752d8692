/**
 * Lets so many log records through, by sender and in all, and counts what it did not let through.
 *
 *   sender   an enclave, by its context id where the transport knows it, else the connection: 1 000 at once, then 200
 *            a second. An enclave does not get more by opening more connections
 *   all      4 000 at once, then 800 a second; and 8 MiB at once, then 1 MiB a second
 *
 * A sender whose records were dropped finds a record that says how many, before its next one and when it goes.
 *
 * @module
 */
import type { Json } from "../../shared/transport/json.ts";
import { type LogRecord, sanitizeLogEvent } from "./log-record.ts";
import { type RateLimit, TokenBucket } from "./rate.ts";

/** Takes a record of the enclave. Not waited for: what is slow belongs behind a log destination. */
export type LogSink = (record: LogRecord) => void;

export interface LogLimits {
  /** Records of one sender. Default 1 000 at once, 200 a second. */
  readonly perSender?: RateLimit;
  /** Records of all together. Default 4 000 at once, 800 a second. */
  readonly total?: RateLimit;
  /** Bytes of all together, as JSON. Default 8 MiB at once, 1 MiB a second. */
  readonly totalBytes?: RateLimit;
}

/** Since the start. */
export interface LogCounts {
  readonly accepted: number;
  readonly dropped: {
    /** Not a record. */
    readonly shape: number;
    /** Too many, or too much. */
    readonly rate: number;
    /** The sink threw. */
    readonly sink: number;
  };
}

/** Who sends: its bucket, and what it was not told yet. */
export interface Sender {
  readonly cid?: number;
  readonly bucket: TokenBucket;
  untold: number;
}

const PER_SENDER: RateLimit = { burst: 1_000, perSecond: 200 };
const TOTAL: RateLimit = { burst: 4_000, perSecond: 800 };
const TOTAL_BYTES: RateLimit = { burst: 8 * 1_048_576, perSecond: 1_048_576 };
/** Of how many context ids the bucket is remembered: a restarted enclave has another id. */
const SENDERS_MAX = 256;

export class LogGate {
  readonly #sink: LogSink;
  readonly #now: () => number;
  readonly #perSender: RateLimit;
  readonly #total: TokenBucket;
  readonly #bytes: TokenBucket;
  readonly #byCid = new Map<number, Sender>();
  readonly #counts = { accepted: 0, shape: 0, rate: 0, sink: 0 };

  constructor(sink: LogSink, { limits = {}, now }: { readonly limits?: LogLimits; readonly now: () => number }) {
    this.#sink = sink;
    this.#now = now;
    this.#perSender = limits.perSender ?? PER_SENDER;
    this.#total = new TokenBucket(limits.total ?? TOTAL, now);
    this.#bytes = new TokenBucket(limits.totalBytes ?? TOTAL_BYTES, now);
  }

  counts(): LogCounts {
    const { accepted, ...dropped } = this.#counts;
    return { accepted, dropped };
  }

  /** The sender behind a connection. */
  sender(cid: number | undefined): Sender {
    const bucket = (): TokenBucket => new TokenBucket(this.#perSender, this.#now);
    if (cid === undefined) return { bucket: bucket(), untold: 0 };
    const sender = this.#byCid.get(cid) ?? { cid, bucket: bucket(), untold: 0 };
    this.#byCid.delete(cid);
    this.#byCid.set(cid, sender);
    for (const oldest of this.#byCid.keys()) {
      if (this.#byCid.size <= SENDERS_MAX) break;
      this.#byCid.delete(oldest);
    }
    return sender;
  }

  take(sender: Sender, body: Json): void {
    const record = this.#admit(sender, body);
    if (!record) return;
    this.tell(sender);
    this.#counts.accepted++;
    this.#give(sender, record);
  }

  /** Says how many of the sender's records were dropped, if any were. */
  tell(sender: Sender): void {
    if (sender.untold === 0) return;
    const fields = { count: sender.untold };
    sender.untold = 0;
    this.#give(sender, { level: "warn", event: "log records dropped by the parent", fields, truncated: false });
  }

  #admit(sender: Sender, body: Json): LogRecord | undefined {
    // Before anything is looked at: what is dropped must cost less than what is kept.
    if (!sender.bucket.has(1) || !this.#total.has(1)) return this.#drop(sender, "rate");
    sender.bucket.take(1);
    this.#total.take(1);
    const record = sanitizeLogEvent(body);
    if (!record) return this.#drop(sender, "shape");
    const bytes = Buffer.byteLength(JSON.stringify(record));
    if (!this.#bytes.has(bytes)) return this.#drop(sender, "rate");
    this.#bytes.take(bytes);
    return record;
  }

  #drop(sender: Sender, reason: "shape" | "rate"): undefined {
    this.#counts[reason]++;
    sender.untold++;
  }

  #give({ cid }: Sender, record: LogRecord): void {
    try {
      this.#sink(cid === undefined ? record : { ...record, cid });
    } catch {
      // There is nowhere to tell it: the log is what failed.
      this.#counts.sink++;
    }
  }
}
