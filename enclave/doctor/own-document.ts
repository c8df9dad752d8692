/**
 * The enclave's own attestation document, fresh and verified under the roots in its image: what it proves to itself.
 *
 * The document is judged at its own signed time, not at this clock's: whether this clock can be believed is what the
 * document decides. It must answer a nonce made here, so it is of now.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { authenticateAttestation, type TrustAnchor } from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { equalBytes, isAllZero } from "../../shared/bytes.ts";
import { EnclaveError, isAttestationError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";

export interface OwnDocumentOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  readonly attestationRoots: readonly TrustAnchor[];
  /** This system's clock. */
  readonly now: () => Date;
}

export interface OwnDocument {
  /** `i-…-enc…`. */
  readonly moduleId: string;
  /** How far this clock is behind NSM's, in milliseconds; negative where it is ahead. Right to half the call's time. */
  readonly driftMs: number;
  /** Which of PCR0, PCR1 and PCR2 are zero: the enclave runs in debug mode where one is. */
  readonly zeroRegisters: readonly number[];
}

const NONCE_BYTES = 32;

/**
 * @throws {EnclaveError} `ERR_ENCLAVE_IDENTITY`
 * @throws {NsmError} there is no document
 */
export async function readOwnDocument({ nsm, attestationRoots, now }: OwnDocumentOptions): Promise<OwnDocument> {
  const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
  const before = now().getTime();
  const document = await nsm.attest({ nonce });
  const middle = (before + now().getTime()) / 2;
  try {
    const { timestamp } = decodeAttestationUnverified(document);
    const claims = await authenticateAttestation(document, { roots: attestationRoots, now: timestamp });
    if (claims.kind !== "nsm") throw identity("another kind of document");
    if (!claims.nonce || !equalBytes(claims.nonce, nonce)) throw identity("ERR_ATTESTATION_NONCE_MISMATCH");
    const zeroRegisters = [0, 1, 2].filter((index) => isAllZero(claims.pcrs.get(index) ?? new Uint8Array(1)));
    return { moduleId: claims.moduleId, driftMs: Math.round(claims.timestamp.getTime() - middle), zeroRegisters };
  } catch (error) {
    throw isAttestationError(error) ? identity(error.code, error) : error;
  }
}

function identity(reason: string, cause?: unknown): EnclaveError {
  return new EnclaveError("ERR_ENCLAVE_IDENTITY", { reason }, { cause });
}
