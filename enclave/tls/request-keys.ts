/**
 * The keys that browsers seal requests to: one at a time, replaced by age and by use, the one before it kept for as long.
 *
 * A parent can send a sealed request again. Each key remembers the requests it opened, by the part that differs between
 * any two (`enc`), and opens none of them twice; memory is bounded because a key that has opened its number is replaced,
 * and a full one opens nothing any more.
 *
 * @module
 */
import { toHex } from "../../shared/bytes.ts";
import { SessionError } from "../../shared/errors/session.ts";
import {
  keyIdOf,
  type OpenedRequest,
  openRequest,
  REQUEST_KEY_ALGORITHM,
  type RequestKeyPair,
  requestKeyId,
} from "../../shared/session/sealed-request.ts";

export interface RequestKeysOptions {
  /** How long a key is given out, in milliseconds; it opens for twice as long. Default 600 000. */
  readonly keyLifetimeMs?: number;
  /** Requests that one key opens. Default 100 000, about 30 MB of memory while it lives. */
  readonly requestsMax?: number;
  /** A clock in milliseconds that never goes back. */
  readonly monotonicMs: () => number;
}

export interface RequestKeys {
  /** The key to seal to now: SubjectPublicKeyInfo, DER. */
  present(): Promise<Uint8Array>;
  /**
   * Opens a request, once.
   *
   * @throws {SessionError} `ERR_SESSION_KEY_UNKNOWN`, `ERR_SESSION_NOT_OPENED`, `ERR_SESSION_REPLAYED`
   */
  open(message: Uint8Array): Promise<OpenedRequest>;
}

interface RequestKey {
  readonly keys: RequestKeyPair;
  readonly spki: Uint8Array;
  readonly id: string;
  readonly madeAt: number;
  readonly opened: Set<string>;
}

export function createRequestKeys(options: RequestKeysOptions): RequestKeys {
  const { keyLifetimeMs = 600_000, requestsMax = 100_000, monotonicMs } = options;
  for (const [name, value] of Object.entries({ keyLifetimeMs, requestsMax })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is 1 or more, not ${value}`);
  }
  let previous: RequestKey | undefined;
  let current: Promise<RequestKey> | undefined;

  const fresh = async (): Promise<RequestKey> => {
    const known = await current;
    const isFresh = known && monotonicMs() - known.madeAt < keyLifetimeMs && known.opened.size < requestsMax;
    if (isFresh) return known;
    // Whoever comes first replaces it; the others find the new one.
    if (known) previous = known;
    current = makeKey(monotonicMs());
    return current;
  };
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (): Promise<RequestKey> => {
    const next = turn.then(fresh, fresh);
    turn = next.catch(() => undefined);
    return next;
  };
  const find = async (id: string): Promise<RequestKey | undefined> => {
    const candidates = [await current, previous];
    return candidates.find((key) => key?.id === id && monotonicMs() - key.madeAt < 2 * keyLifetimeMs);
  };
  return {
    present: async () => (await inTurn()).spki,
    async open(message) {
      const id = keyIdOf(message);
      if (!id) throw new SessionError("ERR_SESSION_NOT_OPENED", { message: "request" });
      const key = await find(toHex(id));
      if (!key || key.opened.size >= requestsMax) throw new SessionError("ERR_SESSION_KEY_UNKNOWN", {});
      const request = await openRequest(message, key.keys);
      const name = Buffer.from(request.enc).toString("base64");
      if (key.opened.has(name)) throw new SessionError("ERR_SESSION_REPLAYED", {});
      key.opened.add(name);
      return request;
    },
  };
}

async function makeKey(madeAt: number): Promise<RequestKey> {
  const keys = await crypto.subtle.generateKey(REQUEST_KEY_ALGORITHM, false, ["deriveBits"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  return { keys, spki, id: toHex(await requestKeyId(spki)), madeAt, opened: new Set() };
}
