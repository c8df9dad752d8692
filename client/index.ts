/**
 * What relying parties use: verify an enclave's answers, seal data for it, write the key policy that releases to it.
 *
 * @module
 */

export type { EncryptionContext, KmsCalls, SealOptions } from "../shared/envelope/sealed.ts";
export { seal } from "../shared/envelope/sealed.ts";
export type {
  AttestedKeyPolicyOptions,
  ImageRegisters,
  PolicyDocument,
  PolicyStatement,
} from "../shared/policy/key-policy.ts";
export { attestedKeyPolicy, closedKeyPolicy, enclaveRolePolicy } from "../shared/policy/key-policy.ts";
export type { SignedResultJson } from "../shared/result/signed-result.ts";
export type { Asked, EnclaveClient, EnclaveClientOptions } from "./enclave.ts";
export { createEnclaveClient } from "./enclave.ts";
export type { EnclavePolicy, VerifiedResult, VerifyResultOptions } from "./result.ts";
export { verifyResult } from "./result.ts";
