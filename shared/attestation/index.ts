/**
 * Verification of attestation documents.
 *
 * @module
 */

export type { AuthenticateOptions } from "./authenticate.ts";
export { authenticateAttestation } from "./authenticate.ts";
export type { AttestationKind, AuthenticAttestation, Claims, VerifiedAttestation } from "./document.ts";
export type { HistoricalAttestation } from "./historical.ts";
export { verifyHistoricalAttestation } from "./historical.ts";
export type { AttestationPolicy, ImageMeasurements, Pcr } from "./policy.ts";
export type { TrustAnchor } from "./trust.ts";
export { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot } from "./trust.ts";
export type { VerifyOptions } from "./verify.ts";
export { isVerifiedAttestation, verifyAttestation } from "./verify.ts";
