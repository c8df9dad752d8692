/**
 * Gives out the places of a service: so many in all, so many to one context id, and a short queue for the moment when
 * all are taken.
 *
 * The queue is bounded in length and in time, so that neither memory nor a caller's patience is spent on a service that
 * does not get to it. What waits is not read.
 *
 * @module
 */

export interface PlaceLimits {
  /** How many connections at once. */
  readonly maxConnections: number;
  /** How many of them may be of one context id. Default: all. */
  readonly maxConnectionsPerCid?: number | undefined;
  /** How many may wait for a place. Default 128; 0 turns away at once. */
  readonly maxWaiting?: number | undefined;
  /** How long one waits for a place before it is turned away, in milliseconds. Default 1 000. */
  readonly waitTimeoutMs?: number | undefined;
}

/** Exactly one of the two is called, once, perhaps at once. */
export interface Applicant {
  readonly begin: () => void;
  readonly turnAway: () => void;
}

interface Waiting extends Applicant {
  readonly cid: number | undefined;
  readonly timer: NodeJS.Timeout;
}

const WAITING_MAX = 128;
const WAIT_TIMEOUT_MS = 1_000;

export class Places {
  readonly #limits: Required<{ [Name in keyof PlaceLimits]: number }>;
  /** By context id: how many of it are open, and how many wait. */
  readonly #taken = new Map<number, number>();
  readonly #waiting = new Map<number, number>();
  readonly #queue = new Set<Waiting>();
  #open = 0;

  constructor(limits: PlaceLimits) {
    const { maxConnections, maxConnectionsPerCid = maxConnections } = limits;
    const { maxWaiting = WAITING_MAX, waitTimeoutMs = WAIT_TIMEOUT_MS } = limits;
    this.#limits = { maxConnections, maxConnectionsPerCid, maxWaiting, waitTimeoutMs };
    for (const [name, value] of Object.entries(this.#limits)) {
      const least = name === "maxWaiting" ? 0 : 1;
      if (!Number.isInteger(value) || value < least) throw new RangeError(`${name} must be ${least} or more: ${value}`);
    }
  }

  get waiting(): number {
    return this.#queue.size;
  }

  take(cid: number | undefined, applicant: Applicant): void {
    if (this.#open < this.#limits.maxConnections && this.#hasRoom(cid)) {
      this.#begin(cid, applicant);
    } else if (this.#queue.size < this.#limits.maxWaiting && this.#mayWait(cid)) {
      const timer = setTimeout(() => {
        this.#leaveQueue(waiting);
        applicant.turnAway();
      }, this.#limits.waitTimeoutMs);
      const waiting: Waiting = { cid, timer, begin: applicant.begin, turnAway: applicant.turnAway };
      this.#queue.add(waiting);
      count(this.#waiting, cid, 1);
    } else {
      applicant.turnAway();
    }
  }

  /** One of `cid` is over; the first in the queue that may have its place begins. */
  leave(cid: number | undefined): void {
    this.#open--;
    count(this.#taken, cid, -1);
    for (const waiting of this.#queue) {
      if (!this.#hasRoom(waiting.cid)) continue;
      this.#leaveQueue(waiting);
      this.#begin(waiting.cid, waiting);
      return;
    }
  }

  /** Turns away all that wait. */
  dismiss(): void {
    for (const waiting of [...this.#queue]) {
      this.#leaveQueue(waiting);
      waiting.turnAway();
    }
  }

  #begin(cid: number | undefined, { begin }: Applicant): void {
    this.#open++;
    count(this.#taken, cid, 1);
    begin();
  }

  #hasRoom(cid: number | undefined): boolean {
    return cid === undefined || (this.#taken.get(cid) ?? 0) < this.#limits.maxConnectionsPerCid;
  }

  /** Those of one context id that wait could all begin: it can not fill the queue either. */
  #mayWait(cid: number | undefined): boolean {
    if (cid === undefined) return true;
    return (this.#taken.get(cid) ?? 0) + (this.#waiting.get(cid) ?? 0) < this.#limits.maxConnectionsPerCid;
  }

  #leaveQueue(waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#queue.delete(waiting);
    count(this.#waiting, waiting.cid, -1);
  }
}

function count(by: Map<number, number>, cid: number | undefined, change: number): void {
  if (cid === undefined) return;
  const number = (by.get(cid) ?? 0) + change;
  if (number > 0) by.set(cid, number);
  else by.delete(cid);
}
