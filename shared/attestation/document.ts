/**
 * The claims of an attestation document, at each stage of trust.
 *
 *   ParsedAttestation     the bytes have the shape NSM emits; nothing is proved
 *   AuthenticAttestation  a trusted root vouches for the key that signed these bytes
 *   VerifiedAttestation   … and the claims satisfy a policy; only `verifyAttestation` makes one
 *
 * @module
 */
import type { Sign1 } from "../cose/sign1.ts";

/** Which device signed: the Nitro Secure Module of an enclave, or the NitroTPM of an EC2 instance. */
export type AttestationKind = "nsm" | "nitrotpm";

/** What a document says of itself. */
export interface Claims {
  readonly kind: AttestationKind;
  /** `i-…-enc…`: the parent instance and the enclave. */
  readonly moduleId: string;
  /** When the device made the document, by its own clock. */
  readonly timestamp: Date;
  /** Register number → 48 bytes. Genuine documents carry 0 to 15, and locked registers of 16 to 31. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** Chosen by the enclave; at most 1024 bytes each; absent and null are the same. */
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
  readonly nonce?: Uint8Array;
  /** Names of fields that this version does not know. */
  readonly unknownFields: readonly string[];
}

export interface ParsedAttestation extends Claims {
  readonly sign1: Sign1;
  /** Certificates in DER, root first, each the issuer of the next, the last that of the leaf. */
  readonly issuers: readonly [root: Uint8Array, ...intermediates: Uint8Array[]];
  readonly leaf: Uint8Array;
}

/** Claims that the hardware vouches for. Says nothing yet of *which* code they describe. */
export interface AuthenticAttestation extends Claims {
  readonly authentic: true;
  /** End of the leaf certificate's validity. */
  readonly certificateExpires: Date;
}

declare const verified: unique symbol;

/** Claims that satisfied a policy. Can not be made but by `verifyAttestation`. */
export interface VerifiedAttestation extends AuthenticAttestation {
  readonly [verified]: true;
  /** Whether the enclave ran in debug mode; true only under `dangerouslyAllowDebug`. */
  readonly debug: boolean;
}
