/**
 * Refuses a nonce that was seen before, for verifiers whose challenges are issued elsewhere.
 *
 * A nonce is remembered for `windowMs`, which must cover the policy's `maxAgeMs` and the clock's tolerance: older
 * documents are refused for their age. Memory is bounded: when it is full, new nonces are refused rather than old ones
 * forgotten, for forgetting is what an attacker would provoke.
 *
 * @module
 */
import { toHex } from "../bytes.ts";
import { AttestationError } from "../errors/attestation.ts";
import type { VerifiedAttestation } from "./document.ts";
import { readMonotonic } from "./monotonic.ts";
import { isVerifiedAttestation } from "./verified.ts";

export interface ReplayGuardOptions {
  /** How long a nonce is remembered, in milliseconds. At least the policy's `maxAgeMs` plus twice its `clockSkewMs`. */
  readonly windowMs: number;
  /** Nonces remembered at once; default 100 000: about 20 MB with nonces of 32 bytes. */
  readonly maxEntries?: number;
  /** A clock in milliseconds that never goes back, such as `() => performance.now()`. */
  readonly monotonicMs: () => number;
}

export interface ReplayGuard {
  /** Nonces remembered now. */
  readonly size: number;
  /**
   * Notes the nonce of a verified document; the second time it is a replay.
   *
   * @throws {AttestationError} `ERR_ATTESTATION_REPLAYED`, `ERR_ATTESTATION_REPLAY_GUARD_FULL`,
   *   `ERR_ATTESTATION_NONCE_MISMATCH` when the document has no nonce
   * @throws {TypeError} not the result of `verifyAttestation`
   */
  admit(attestation: VerifiedAttestation): void;
}

const NONCE_MIN = 16;

export function createReplayGuard(options: ReplayGuardOptions): ReplayGuard {
  const { windowMs, maxEntries = 100_000, monotonicMs } = options;
  if (!(Number.isFinite(windowMs) && windowMs > 0)) throw new RangeError(`windowMs is above 0, not ${windowMs}`);
  if (!Number.isInteger(maxEntries) || maxEntries < 1)
    throw new RangeError(`maxEntries is 1 or more, not ${maxEntries}`);
  /** Nonce → when it may be forgotten, oldest first. */
  const seen = new Map<string, number>();
  return {
    get size() {
      return seen.size;
    },
    admit(attestation) {
      if (!isVerifiedAttestation(attestation)) throw new TypeError("admit takes the result of verifyAttestation");
      const { nonce } = attestation;
      if (!nonce || nonce.length < NONCE_MIN) {
        const actualBytes = nonce?.length ?? -1;
        throw new AttestationError("ERR_ATTESTATION_NONCE_MISMATCH", { expectedBytes: NONCE_MIN, actualBytes });
      }
      const now = readMonotonic(monotonicMs);
      for (const [known, until] of seen) {
        if (until > now) break;
        seen.delete(known);
      }
      const key = toHex(nonce);
      if (seen.has(key)) throw new AttestationError("ERR_ATTESTATION_REPLAYED", {});
      if (seen.size >= maxEntries) throw new AttestationError("ERR_ATTESTATION_REPLAY_GUARD_FULL", { maxEntries });
      seen.set(key, now + windowMs);
    },
  };
}
