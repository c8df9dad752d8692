/**
 * Challenges that an enclave must answer: issued once, redeemed once, for a limited time.
 *
 * Keyed by the nonce and never by document or signature bytes: an ECDSA signature has a twin that verifies as well, so a
 * list of seen documents can be passed by. Time is a monotonic clock that the caller gives: a system clock that is set
 * back gives no challenge a second life. Memory is bounded: when too many are open, issuing is refused, and an open
 * challenge is never dropped for a new one.
 *
 * @module
 */
import { toHex } from "../bytes.ts";
import { AttestationError } from "../errors/attestation.ts";
import type { VerifiedAttestation } from "./document.ts";
import { readMonotonic } from "./monotonic.ts";
import { isVerifiedAttestation } from "./verified.ts";

export interface ChallengeIssuerOptions {
  /** How long a challenge may be answered, in milliseconds; a round trip and a document, so seconds rather than minutes. */
  readonly lifetimeMs: number;
  /** Challenges open at once; default 10 000, about 2 MB. */
  readonly maxOpen?: number;
  /** A clock in milliseconds that never goes back, such as `() => performance.now()`. */
  readonly monotonicMs: () => number;
}

export interface ChallengeIssuer {
  /** Challenges open now. */
  readonly size: number;
  /**
   * A new challenge, 32 random bytes.
   *
   * @throws {AttestationError} `ERR_ATTESTATION_CHALLENGES_EXHAUSTED`
   */
  issue(): Uint8Array;
  /**
   * Accepts the answer to an open challenge, once.
   *
   * @throws {AttestationError} `ERR_ATTESTATION_CHALLENGE_UNKNOWN`: never issued here, or redeemed before;
   *   `ERR_ATTESTATION_CHALLENGE_EXPIRED`
   * @throws {TypeError} not the result of `verifyAttestation`
   */
  redeem(attestation: VerifiedAttestation): void;
}

const NONCE_BYTES = 32;

export function createChallengeIssuer(options: ChallengeIssuerOptions): ChallengeIssuer {
  const { lifetimeMs, maxOpen = 10_000, monotonicMs } = options;
  if (!(Number.isFinite(lifetimeMs) && lifetimeMs > 0))
    throw new RangeError(`lifetimeMs is above 0, not ${lifetimeMs}`);
  if (!Number.isInteger(maxOpen) || maxOpen < 1) throw new RangeError(`maxOpen is 1 or more, not ${maxOpen}`);
  /** Nonce → when it expires, oldest first: every challenge lives equally long. */
  const open = new Map<string, number>();
  const dropExpired = (now: number): void => {
    for (const [nonce, expires] of open) {
      if (expires > now) return;
      open.delete(nonce);
    }
  };
  return {
    get size() {
      return open.size;
    },
    issue() {
      const now = readMonotonic(monotonicMs);
      dropExpired(now);
      if (open.size >= maxOpen) throw new AttestationError("ERR_ATTESTATION_CHALLENGES_EXHAUSTED", { maxOpen });
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      open.set(toHex(nonce), now + lifetimeMs);
      return nonce;
    },
    redeem(attestation) {
      if (!isVerifiedAttestation(attestation)) throw new TypeError("redeem takes the result of verifyAttestation");
      const key = toHex(attestation.nonce ?? new Uint8Array(0));
      const expires = open.get(key);
      if (expires === undefined) throw new AttestationError("ERR_ATTESTATION_CHALLENGE_UNKNOWN", {});
      open.delete(key);
      if (readMonotonic(monotonicMs) >= expires)
        throw new AttestationError("ERR_ATTESTATION_CHALLENGE_EXPIRED", { lifetimeMs });
    },
  };
}
