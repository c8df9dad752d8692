/**
 * Decides whether an attestation document proves what a policy demands.
 *
 * Three steps, one file each, in this order and never skipped:
 *
 *   1. parse         the bytes are the shape NSM emits         parse.ts
 *   2. authenticate  a trusted root vouches for the leaf key,
 *                    and the leaf key signed these bytes       authenticate.ts
 *   3. appraise      the signed claims satisfy the policy      appraise.ts
 *
 * Pure: no network, no file system; the clock is an argument. Same input, same verdict.
 *
 * Source: AWS attestation_process.md §3; RFC 9052 §4.4; RFC 5280 §6.1.
 *
 * @module
 */
import { appraise } from "./appraise.ts";
import { authenticate } from "./authenticate.ts";
import type { ChainCache } from "./chain-cache.ts";
import { readClock } from "./clock.ts";
import type { VerifiedAttestation } from "./document.ts";
import { parse } from "./parse.ts";
import { type AttestationPolicy, readPolicy } from "./policy.ts";
import { markVerified } from "./verified.ts";

export interface VerifyOptions {
  /** The moment to judge at. Default: the system's clock, read once. */
  readonly now?: Date;
  /**
   * How far this clock and the enclave's may be apart, in milliseconds, 0 to 300 000. Default 60 000: NTP keeps hosts
   * closer, and a document lives for hours, so a minute lets nothing in that `maxAgeMs` and the nonce keep out.
   */
  readonly clockSkewMs?: number;
  /** Remembers verified issuers across documents (`createChainCache`); without it every signature is checked each time. */
  readonly chainCache?: ChainCache;
}

/**
 * Verifies an attestation document under a policy.
 *
 * @param document COSE_Sign1 bytes as NSM gives them; copied, so that later changes of the buffer change nothing
 * @throws {AttestationError} the document is refused; `code` says by which check
 * @throws {ConfigError} the policy or an option is incomplete; nothing was verified
 */
export async function verifyAttestation(
  document: Uint8Array,
  policy: AttestationPolicy,
  { now = new Date(), clockSkewMs = 60_000, chainCache }: VerifyOptions = {},
): Promise<VerifiedAttestation> {
  const demanded = readPolicy(policy);
  const clock = readClock({ now, clockSkewMs });
  const parsed = parse(document);
  const authentic = await authenticate(parsed, { roots: demanded.roots, ...clock, chainCache });
  const { debug } = await appraise(authentic, demanded, clock);
  return markVerified({ ...authentic, debug });
}
