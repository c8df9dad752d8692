/**
 * Verification of attestation documents.
 *
 * @module
 */

export type { AuthenticateOptions } from "./authenticate.ts";
export { authenticateAttestation } from "./authenticate.ts";
export type { ChainCache, ChainCacheOptions } from "./chain-cache.ts";
export { createChainCache } from "./chain-cache.ts";
export type { ChallengeIssuer, ChallengeIssuerOptions } from "./challenge.ts";
export { createChallengeIssuer } from "./challenge.ts";
export type { AttestationKind, AuthenticAttestation, Claims, VerifiedAttestation } from "./document.ts";
export type { HistoricalAttestation } from "./historical.ts";
export { verifyHistoricalAttestation } from "./historical.ts";
export type { AttestationPolicy, ImageMeasurements, Pcr, UserDataPolicy } from "./policy.ts";
export { attestationPolicyFromJson } from "./policy-json.ts";
export type { ReplayGuard, ReplayGuardOptions } from "./replay.ts";
export { createReplayGuard } from "./replay.ts";
export type { TrustAnchor } from "./trust.ts";
export { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot } from "./trust.ts";
export type { UserData } from "./user-data.ts";
export { encodeUserData, readUserData } from "./user-data.ts";
export { isVerifiedAttestation } from "./verified.ts";
export type { VerifyOptions } from "./verify.ts";
export { verifyAttestation } from "./verify.ts";
