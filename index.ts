/**
 * Cloister: attestation and confidential computing for AWS Nitro Enclaves.
 *
 * The entry for relying parties: verify a document, name the roots, tell errors apart. Everything else has a subpath.
 *
 * @module
 */

export type {
  AttestationPolicy,
  ImageMeasurements,
  TrustAnchor,
  VerifiedAttestation,
  VerifyOptions,
} from "./shared/attestation/index.ts";
export { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot, verifyAttestation } from "./shared/attestation/index.ts";
export { AttestationError, isAttestationError, isToolkitError, ToolkitError } from "./shared/errors/index.ts";
