/**
 * Whether the roots in the image can be used: one at least for attestation and one for TLS, certificates, and in force.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { EnclaveError } from "../../shared/errors/index.ts";

export interface Roots {
  /** DER. */
  readonly attestationRoots: readonly Uint8Array[];
  /** PEM. */
  readonly tlsRoots: readonly string[];
}

/**
 * @throws {EnclaveError} `ERR_ENCLAVE_ROOTS`
 */
export function examineRoots({ attestationRoots, tlsRoots }: Roots, now: Date): void {
  examine("attestation", attestationRoots, now);
  examine("tls", tlsRoots, now);
}

function examine(roots: "attestation" | "tls", certificates: readonly (Uint8Array | string)[], now: Date): void {
  const refuse = (rule: string, cause?: unknown): never => {
    throw new EnclaveError("ERR_ENCLAVE_ROOTS", { roots, rule }, { cause });
  };
  if (certificates.length === 0) refuse("the image carries one or more");
  const inForce = certificates.filter((input) => {
    try {
      const { validFrom, validTo } = new X509Certificate(input);
      return Date.parse(validFrom) <= now.getTime() && now.getTime() < Date.parse(validTo);
    } catch (cause) {
      return refuse("each is one certificate", cause);
    }
  });
  if (inForce.length === 0) refuse("one of them is in force");
}
