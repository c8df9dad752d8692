/**
 * Bounds how many documents are made: the device makes one after the other, and each is a P-384 signature.
 *
 * Two bounds. A connection gets a few: a client needs one. All of them together get a steady rate with a burst, since a
 * parent hides who connects and anybody can connect again.
 *
 * @module
 */
import { SessionError } from "../../shared/errors/session.ts";

export interface DocumentLimits {
  /** Documents over one connection. Default 4: a client needs one. */
  readonly perConnection?: number;
  /** Documents a second, over all connections. Default 50, about what leaves a device half free. */
  readonly perSecond?: number;
  /** Documents at once after a quiet time. Default 100. */
  readonly burst?: number;
}

export interface DocumentRate {
  /**
   * Counts one more for the connection that `key` stands for.
   *
   * @throws {SessionError} `ERR_SESSION_DOCUMENT_LIMIT`
   */
  take(key: object): void;
}

export function createDocumentRate(limits: DocumentLimits, monotonicMs: () => number): DocumentRate {
  const { perConnection = 4, perSecond = 50, burst = 100 } = limits;
  for (const [name, value] of Object.entries({ perConnection, perSecond, burst })) {
    if (!(Number.isFinite(value) && value >= 1)) throw new RangeError(`documents.${name} is 1 or more, not ${value}`);
  }
  const given = new WeakMap<object, number>();
  let tokens = burst;
  let filledAt = monotonicMs();
  return {
    take(key) {
      const count = given.get(key) ?? 0;
      if (count >= perConnection) {
        throw new SessionError("ERR_SESSION_DOCUMENT_LIMIT", { scope: "connection", limit: perConnection });
      }
      const now = monotonicMs();
      tokens = Math.min(burst, tokens + ((now - filledAt) / 1_000) * perSecond);
      filledAt = now;
      if (tokens < 1) throw new SessionError("ERR_SESSION_DOCUMENT_LIMIT", { scope: "second", limit: perSecond });
      tokens -= 1;
      given.set(key, count + 1);
    },
  };
}
