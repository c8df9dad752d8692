/**
 * Judges an old document as of its own time: for archives, audits and test vectors, never for a live decision.
 *
 * A document chooses its own timestamp, so this proves that the enclave once existed, not that it exists. The result is
 * therefore not a `VerifiedAttestation`, and nothing that seals a secret or opens a channel takes it.
 *
 * @module
 */
import { appraise } from "./appraise.ts";
import { authenticate } from "./authenticate.ts";
import type { AuthenticAttestation } from "./document.ts";
import { parse } from "./parse.ts";
import { type AttestationPolicy, readPolicy } from "./policy.ts";

export interface HistoricalAttestation extends AuthenticAttestation {
  readonly historical: true;
  readonly debug: boolean;
}

/**
 * @throws {AttestationError} the document would have been refused at its own timestamp
 * @throws {ConfigError} the policy is incomplete
 */
export async function verifyHistoricalAttestation(
  document: Uint8Array,
  policy: AttestationPolicy,
): Promise<HistoricalAttestation> {
  const demanded = readPolicy(policy);
  const parsed = parse(document);
  const clock = { now: parsed.timestamp, clockSkewMs: 0 };
  const authentic = await authenticate(parsed, { roots: demanded.roots, ...clock });
  const { debug } = await appraise(authentic, demanded, clock);
  return Object.freeze({ ...authentic, debug, historical: true as const });
}
