/**
 * The policy of a fleet: peers must be what this enclave itself is.
 *
 * Its own registers are read from a document of its own, verified under the roots that peers are verified under: an
 * enclave that could not convince a peer does not start to ask for one.
 *
 * @module
 */
import { authenticateAttestation, type ImageMeasurements, type TrustAnchor } from "../../shared/attestation/index.ts";
import { equalBytes, isAllZero } from "../../shared/bytes.ts";
import { AttestationError } from "../../shared/errors/attestation.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import type { EnclavePolicy } from "../../shared/session/bound-document.ts";
import { NONCE_BYTES } from "../../shared/session/nonce.ts";

export interface SameImageOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  /** The platform's: whose documents are believed. */
  readonly roots: readonly [TrustAnchor, ...TrustAnchor[]];
  readonly now: () => Date;
  /** Oldest acceptable document of a peer, in milliseconds. Default 60 000: it was made in the same handshake. */
  readonly maxAgeMs?: number;
  /**
   * Registers beside PCR0, PCR1 and PCR2 in which a peer must be equal: 16 where the configuration is measured, since one image
   * can be told different things; 3 for the parent's role; 8 for the signer. Default none.
   */
  readonly alsoEqual?: readonly number[];
}

const IMAGE_REGISTERS = [0, 1, 2] as const;

/**
 * @throws {AttestationError} this enclave's own document does not verify; `ERR_ATTESTATION_DEBUG_MODE` in debug mode,
 *   where every image looks the same
 */
export async function sameImagePolicy(options: SameImageOptions): Promise<EnclavePolicy> {
  const { nsm, roots, now, maxAgeMs = 60_000, alsoEqual = [] } = options;
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const own = await authenticateAttestation(await nsm.attest({ nonce }), { roots, now: now(), clockSkewMs: 60_000 });
  if (!equalBytes(own.nonce ?? new Uint8Array(), nonce)) {
    const actualBytes = own.nonce?.length ?? -1;
    throw new AttestationError("ERR_ATTESTATION_NONCE_MISMATCH", { expectedBytes: nonce.length, actualBytes });
  }
  const image: Record<number, Uint8Array> = {};
  for (const index of [...IMAGE_REGISTERS, ...alsoEqual]) {
    const value = own.pcrs.get(index);
    if (!value) {
      const expected = "a value";
      throw new AttestationError("ERR_ATTESTATION_PCR_MISMATCH", { index, expected, actual: "absent" });
    }
    if (isAllZero(value) && index <= 2) throw new AttestationError("ERR_ATTESTATION_DEBUG_MODE", { index });
    image[index] = value;
  }
  return { kind: "nsm", roots, images: [image satisfies ImageMeasurements], maxAgeMs };
}
