/**
 * The latest records of the audit trail, to be looked through and to be followed.
 *
 * @module
 */
import type { TrailRecord } from "./trail.ts";

/** What a record must be to be shown; what is absent is not asked. */
export interface TrailQuery {
  readonly eventName?: string;
  readonly eventSource?: string;
  /** CloudTrail's `errorCode`, or `null` for calls that succeeded. */
  readonly errorCode?: string | null;
  /** ARN of the caller or of its role. */
  readonly principal?: string;
  readonly resource?: string;
  readonly recipientAccountId?: string;
  readonly since?: Date;
}

const RECORDS_MAX = 10_000;
/** Of JSON, in characters. */
const SIZE_MAX = 67_108_864;
/** A follower that does not read loses the oldest. */
const WAITING_MAX = 1_000;

export class TrailLog {
  /** As JSON: one text for the collector to carry along where a record is a hundred objects. */
  #records: string[] = [];
  /** In characters. */
  #size = 0;
  readonly #sizeMax: number;
  readonly #followers = new Set<(records: readonly TrailRecord[]) => void>();

  constructor(sizeMax: number = SIZE_MAX) {
    this.#sizeMax = sizeMax;
  }

  readonly record = (records: readonly TrailRecord[]): void => {
    for (const record of records) {
      const written = JSON.stringify(record);
      this.#records.push(written);
      this.#size += written.length;
    }
    // Dropped a thousand at a time, or a sixteenth: one at a time would move ten thousand for each call.
    if (this.#records.length > RECORDS_MAX + 1_000) this.#drop(this.#records.length - RECORDS_MAX);
    if (this.#size > this.#sizeMax) this.#drop(this.#countAbove((this.#sizeMax / 16) * 15));
    for (const tell of this.#followers) tell(records);
  };

  /** Oldest first; the latest 10 000 are kept, and no more than 64 MiB of them. */
  list(query: TrailQuery = {}): readonly TrailRecord[] {
    return this.#records
      .slice(-RECORDS_MAX)
      .map((written) => JSON.parse(written) as TrailRecord)
      .filter((record) => matches(record, query));
  }

  clear(): void {
    this.#drop(this.#records.length);
  }

  #drop(count: number): void {
    for (const { length } of this.#records.slice(0, count)) this.#size -= length;
    this.#records = this.#records.slice(count);
  }

  /** How many of the oldest are too many for so much. */
  #countAbove(sizeMax: number): number {
    let size = this.#size;
    let count = 0;
    while (size > sizeMax) size -= this.#records[count++]?.length ?? size;
    return count;
  }

  /** Every record from this call on, until the loop is left or the signal aborts. */
  follow(query: TrailQuery = {}, signal?: AbortSignal): AsyncGenerator<TrailRecord, void, undefined> {
    const follower = new Follower();
    const tell = (records: readonly TrailRecord[]): void =>
      follower.take(records.filter((record) => matches(record, query)));
    const stop = (): void => {
      this.#followers.delete(tell);
      signal?.removeEventListener("abort", stop);
      follower.end();
    };
    this.#followers.add(tell);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    return follower.records(stop);
  }
}

/** What came and was not read yet. */
class Follower {
  readonly #waiting: TrailRecord[] = [];
  #hasEnded = false;
  #wake = (): void => undefined;

  take(records: readonly TrailRecord[]): void {
    this.#waiting.push(...records);
    this.#waiting.splice(0, this.#waiting.length - WAITING_MAX);
    this.#wake();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  async *records(stop: () => void): AsyncGenerator<TrailRecord, void, undefined> {
    try {
      while (!this.#hasEnded) {
        const next = this.#waiting.shift();
        if (next) yield next;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      stop();
    }
  }
}

function matches({ event }: TrailRecord, query: TrailQuery): boolean {
  const { eventName, eventSource, errorCode, principal, resource, recipientAccountId, since } = query;
  const issuer = (event.userIdentity as { sessionContext?: { sessionIssuer?: { arn?: string } } }).sessionContext;
  return (
    (eventName === undefined || event.eventName === eventName) &&
    (eventSource === undefined || event.eventSource === eventSource) &&
    (errorCode === undefined || (event.errorCode ?? null) === errorCode) &&
    (principal === undefined || [event.userIdentity["arn"], issuer?.sessionIssuer?.arn].includes(principal)) &&
    (resource === undefined || event.resources.some(({ ARN }) => ARN === resource)) &&
    (recipientAccountId === undefined || event.recipientAccountId === recipientAccountId) &&
    (since === undefined || Date.parse(event.eventTime) >= since.getTime())
  );
}
