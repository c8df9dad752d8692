/**
 * Shows what a document says without believing it: for people and for error reports, never for a decision.
 *
 * @module
 */
import type { Claims } from "./document.ts";
import { parse } from "./parse.ts";

/** Claims that nobody vouches for. */
export interface UnverifiedAttestation extends Claims {
  readonly verified: false;
  /** DER, root first, leaf last. */
  readonly chain: readonly Uint8Array[];
}

/**
 * Decodes a document and checks nothing but its shape.
 *
 * @throws {AttestationError} not the shape NSM emits
 */
export function decodeAttestationUnverified(document: Uint8Array): UnverifiedAttestation {
  const { sign1: _sign1, issuers, leaf, ...claims } = parse(document);
  return Object.freeze({ ...claims, chain: [...issuers, leaf], verified: false as const });
}
