/**
 * What a web page needs to talk to an enclave: verify a document, seal requests to the key in it.
 *
 * @module
 */

export type { TrustAnchor, VerifiedAttestation } from "../../shared/attestation/index.ts";
export { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot, verifyAttestation } from "../../shared/attestation/index.ts";
export type { EnclavePolicy } from "../../shared/session/bound-document.ts";
export type { SealedClient, SealedClientOptions, SealedInit } from "./sealed-client.ts";
export { createSealedClient } from "./sealed-client.ts";
