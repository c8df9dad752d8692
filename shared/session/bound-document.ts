/**
 * Decides whether a document proves that the other end of a session is an allowed enclave.
 *
 * One strict verification: image, challenge, purpose, and that the document vouches for this very session. A document
 * that passes in all but the last is told apart by its own code: somebody relayed it.
 *
 * @module
 */
import {
  type AttestationPolicy,
  type VerifiedAttestation,
  type VerifyOptions,
  verifyAttestation,
} from "../attestation/index.ts";
import { isAttestationError } from "../errors/attestation.ts";
import { SessionError } from "../errors/session.ts";

/** What a relying party demands of an enclave; nonce, user data and key follow from the session it is in. */
export type EnclavePolicy = Omit<AttestationPolicy, "nonce" | "userData" | "publicKey">;

export interface Binding {
  /** The challenge that this side sent in this session. */
  readonly nonce: Uint8Array;
  /** What the document is for, as its `user_data` must say. */
  readonly purpose: string;
  /** SHA-384 of what it must vouch for. */
  readonly digest: Uint8Array;
  /** The key that it must carry; `"unchecked"` where the digest covers it and it is taken from the document. */
  readonly publicKey: Uint8Array | "unchecked";
}

export interface BoundDocumentOptions extends VerifyOptions {
  readonly policy: EnclavePolicy;
  readonly binding: Binding;
}

/**
 * @throws {AttestationError} the document is refused; `code` says by which check
 * @throws {SessionError} `ERR_SESSION_RELAYED`: it is right in all but the session it was made for
 */
export async function verifyBoundDocument(
  document: Uint8Array,
  { policy, binding, ...options }: BoundDocumentOptions,
): Promise<VerifiedAttestation> {
  const { nonce, purpose, digest, publicKey } = binding;
  const userData = { purpose, digest, minimumImageVersion: "unchecked" } as const;
  try {
    return await verifyAttestation(document, { ...policy, nonce, userData, publicKey }, options);
  } catch (cause) {
    if (!isAttestationError(cause) || !BINDING_CODES.includes(cause.code)) throw cause;
    // Names the refusal and accepts nothing: whatever comes of it, this document is refused.
    const loose = { ...userData, digest: "unchecked" } as const;
    await verifyAttestation(document, { ...policy, nonce, userData: loose, publicKey: "unchecked" }, options);
    throw new SessionError("ERR_SESSION_RELAYED", {}, { cause });
  }
}

const BINDING_CODES: readonly string[] = ["ERR_ATTESTATION_USER_DATA_MISMATCH", "ERR_ATTESTATION_PUBLIC_KEY_MISMATCH"];
