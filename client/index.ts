/**
 * What relying parties use: verify an enclave's answers, seal data for it, write the key policy that releases to it.
 *
 * @module
 */

export type { ByteStream } from "../shared/envelope/byte-source.ts";
export type { OpenStreamOptions, Rereadable } from "../shared/envelope/open-stream.ts";
export { openStream } from "../shared/envelope/open-stream.ts";
export type { SealStreamOptions, Suite } from "../shared/envelope/seal-stream.ts";
export { sealStream } from "../shared/envelope/seal-stream.ts";
export type { EncryptionContext, KmsCalls, OpenOptions, SealOptions } from "../shared/envelope/sealed.ts";
export { open, seal } from "../shared/envelope/sealed.ts";
export type {
  AttestedKeyPolicyOptions,
  ImageRegisters,
  PolicyDocument,
  PolicyStatement,
} from "../shared/policy/key-policy.ts";
export { attestedKeyPolicy, closedKeyPolicy, enclaveRolePolicy } from "../shared/policy/key-policy.ts";
export type { SignedResultJson } from "../shared/result/signed-result.ts";
export type { AttestedAgent, AttestedAgentOptions } from "./attested-agent.ts";
export { createAttestedAgent } from "./attested-agent.ts";
export type { AttestedBody, AttestedFetchInit } from "./attested-fetch.ts";
export { attestationOf, attestedFetch } from "./attested-fetch.ts";
export type { Asked, EnclaveClient, EnclaveClientOptions } from "./enclave.ts";
export { createEnclaveClient } from "./enclave.ts";
export type { EnclavePolicy, VerifiedResult, VerifyResultOptions } from "./result.ts";
export { verifyResult } from "./result.ts";
