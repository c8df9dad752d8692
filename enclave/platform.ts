/**
 * What an enclave's entry file hands to its application: the only place where a real enclave and an emulated one differ.
 *
 * The entry file is part of the image and so of its measurement: an image with other roots has other PCRs, by design.
 * The application has no branch and no setting for it.
 *
 * @module
 */
import type { TrustAnchor } from "../shared/attestation/index.ts";
import type { NsmDevice } from "../shared/nsm/device.ts";
import type { Peer } from "../shared/transport/address.ts";

export interface Platform {
  readonly nsm: NsmDevice;
  /** Whose attestation documents this enclave believes, its peers' and its own. */
  readonly attestationRoots: readonly TrustAnchor[];
  /** PEM certificates that TLS servers outside must chain to. Nothing else is trusted, whatever the host has. */
  readonly tlsRoots: readonly string[];
  /** The parent instance: CID 3 on EC2. */
  readonly parent: Peer;
  /** Where this enclave listens. */
  readonly self: Peer;
  /** Where `/proc` and `/sys` of the enclave's own kernel are, for the doctor; left out where it boots none. */
  readonly systemRoot?: string | undefined;
}
