/**
 * Why an attestation document is refused.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface AttestationRefusals {
  /** Larger than any document NSM makes, or empty. Sizes in bytes. */
  readonly ERR_ATTESTATION_SIZE: { readonly maximum: number; readonly actual: number };
  /** Not the CBOR, COSE or payload shape that NSM emits. `path` points into the document, e.g. `payload.pcrs[3]`. */
  readonly ERR_ATTESTATION_MALFORMED: { readonly path: string; readonly expected: string };
  /** The protected header does not pin ES384. `algorithm` is what it says, as text. */
  readonly ERR_ATTESTATION_ALGORITHM: { readonly algorithm: string };
  /** The document is of another kind than the policy names. */
  readonly ERR_ATTESTATION_KIND: { readonly expected: string; readonly actual: string };
  /** No trusted root stands at the head of the chain. `fingerprint` is the SHA-256 of the root that came, hex. */
  readonly ERR_ATTESTATION_ROOT_UNTRUSTED: { readonly fingerprint: string };
  /** A certificate is not what its place in the chain demands. 0 is the root. */
  readonly ERR_ATTESTATION_CHAIN: { readonly certificate: number; readonly rule: string };
  /** A certificate is outside its validity. Times are ISO 8601. */
  readonly ERR_ATTESTATION_CERTIFICATE_TIME: {
    readonly certificate: number;
    readonly notBefore: string;
    readonly notAfter: string;
    readonly now: string;
  };
  /** The leaf key did not sign these bytes. */
  readonly ERR_ATTESTATION_SIGNATURE: Readonly<Record<string, never>>;
  /** The document says it was made in the future, or outside its leaf certificate's validity. */
  readonly ERR_ATTESTATION_TIMESTAMP: { readonly timestamp: string; readonly now: string; readonly rule: string };
  /** Older than the policy's `maxAgeMs`. */
  readonly ERR_ATTESTATION_STALE: { readonly ageMs: number; readonly maxAgeMs: number };
  /** PCR0, PCR1 or PCR2 is all zero: the enclave runs in debug mode, its memory and console are open. */
  readonly ERR_ATTESTATION_DEBUG_MODE: { readonly index: number };
  /** A measured register is not the one the policy names. Hex; `actual` is `absent` where the document lacks it. */
  readonly ERR_ATTESTATION_PCR_MISMATCH: {
    readonly index: number;
    readonly expected: string;
    readonly actual: string;
  };
  /** The image is on the policy's list of revoked ones. `pcr0` is what the document says, hex. */
  readonly ERR_ATTESTATION_IMAGE_REVOKED: { readonly pcr0: string };
  /** The image says that it is older than the policy's minimum; `actual` is -1 where it says nothing. */
  readonly ERR_ATTESTATION_IMAGE_VERSION: { readonly minimum: number; readonly actual: number };
  /** PCR4 is not the measurement of the instance id that `module_id` names. */
  readonly ERR_ATTESTATION_MODULE_ID_MISMATCH: { readonly moduleId: string };
  /** The document answers another challenge, or none. */
  readonly ERR_ATTESTATION_NONCE_MISMATCH: { readonly expectedBytes: number; readonly actualBytes: number };
  /** `user_data` is not what the policy names. Lengths in bytes; -1 where absent. */
  readonly ERR_ATTESTATION_USER_DATA_MISMATCH: { readonly expectedBytes: number; readonly actualBytes: number };
  /** `public_key` is not what the policy names. Lengths in bytes; -1 where absent. */
  readonly ERR_ATTESTATION_PUBLIC_KEY_MISMATCH: { readonly expectedBytes: number; readonly actualBytes: number };
  /** The nonce was seen before. */
  readonly ERR_ATTESTATION_REPLAYED: Readonly<Record<string, never>>;
  /** The guard remembers as many nonces as it may; no new one is admitted until the oldest lapse. */
  readonly ERR_ATTESTATION_REPLAY_GUARD_FULL: { readonly maxEntries: number };
  /** The nonce is no open challenge: never issued here, or redeemed before. */
  readonly ERR_ATTESTATION_CHALLENGE_UNKNOWN: Readonly<Record<string, never>>;
  /** The answer came after the challenge's lifetime. */
  readonly ERR_ATTESTATION_CHALLENGE_EXPIRED: { readonly lifetimeMs: number };
  /** As many challenges are open as may be. */
  readonly ERR_ATTESTATION_CHALLENGES_EXHAUSTED: { readonly maxOpen: number };
}

export type AttestationCode = keyof AttestationRefusals;

export const ATTESTATION_TABLE: CodeTable<AttestationRefusals> = {
  ERR_ATTESTATION_SIZE: {
    kind: "not authentic",
    message: (d) => `an attestation document has 1 to ${d.maximum} bytes, this has ${d.actual}`,
  },
  ERR_ATTESTATION_MALFORMED: {
    kind: "not authentic",
    message: (d) => `not a document that NSM makes: ${d.path} must be ${d.expected}`,
  },
  ERR_ATTESTATION_ALGORITHM: {
    kind: "not authentic",
    message: (d) => `the protected header must name ES384 (-35) and nothing else, it says ${d.algorithm}`,
  },
  ERR_ATTESTATION_KIND: {
    kind: "refused by policy",
    message: (d) => `the policy is for documents of kind ${d.expected}, this one is ${d.actual}`,
  },
  ERR_ATTESTATION_ROOT_UNTRUSTED: {
    kind: "not authentic",
    message: (d) => `the chain starts at a root that is not trusted: sha256 ${d.fingerprint}`,
  },
  ERR_ATTESTATION_CHAIN: {
    kind: "not authentic",
    message: (d) => `certificate ${d.certificate} (0 is the root) breaks a rule: ${d.rule}`,
  },
  ERR_ATTESTATION_CERTIFICATE_TIME: {
    kind: "not authentic",
    message: (d) =>
      `certificate ${d.certificate} (0 is the root) is valid from ${d.notBefore} to ${d.notAfter}, now is ${d.now}`,
  },
  ERR_ATTESTATION_SIGNATURE: {
    kind: "not authentic",
    message: () => "the leaf certificate's key did not sign this document",
  },
  ERR_ATTESTATION_TIMESTAMP: {
    kind: "not authentic",
    message: (d) => `the document says it was made at ${d.timestamp}, now is ${d.now}: ${d.rule}`,
  },
  ERR_ATTESTATION_STALE: {
    kind: "refused by policy",
    message: (d) => `the document is ${d.ageMs} ms old, the policy allows ${d.maxAgeMs} ms`,
  },
  ERR_ATTESTATION_DEBUG_MODE: {
    kind: "refused by policy",
    message: (d) => `PCR${d.index} is all zero: the enclave runs in debug mode and keeps no secrets`,
  },
  ERR_ATTESTATION_PCR_MISMATCH: {
    kind: "refused by policy",
    message: (d) => `PCR${d.index} must be ${d.expected}, the document says ${d.actual}`,
  },
  ERR_ATTESTATION_IMAGE_REVOKED: {
    kind: "refused by policy",
    message: (d) => `the image with PCR0 ${d.pcr0} is revoked`,
  },
  ERR_ATTESTATION_IMAGE_VERSION: {
    kind: "refused by policy",
    message: (d) =>
      d.actual < 0
        ? `the image names no version, ${d.minimum} or later is demanded`
        : `the image says version ${d.actual}, ${d.minimum} or later is demanded`,
  },
  ERR_ATTESTATION_MODULE_ID_MISMATCH: {
    kind: "refused by policy",
    message: (d) => `PCR4 is not the measurement of the instance in module_id ${d.moduleId}`,
  },
  ERR_ATTESTATION_NONCE_MISMATCH: {
    kind: "refused by policy",
    message: (d) =>
      d.actualBytes < 0
        ? "the document answers no challenge, a nonce was demanded"
        : "the document answers another challenge than the one that was sent",
  },
  ERR_ATTESTATION_USER_DATA_MISMATCH: {
    kind: "refused by policy",
    message: (d) =>
      d.actualBytes < 0 ? "user_data is absent, and was expected" : "user_data says something else than was expected",
  },
  ERR_ATTESTATION_PUBLIC_KEY_MISMATCH: {
    kind: "refused by policy",
    message: (d) =>
      d.actualBytes < 0 ? "public_key is absent, and was expected" : "public_key is another one than was expected",
  },
  ERR_ATTESTATION_REPLAYED: { kind: "refused by policy", message: () => "this nonce was answered before" },
  ERR_ATTESTATION_REPLAY_GUARD_FULL: {
    kind: "refused by policy",
    message: (d) => `the replay guard remembers ${d.maxEntries} nonces and admits no more for now`,
  },
  ERR_ATTESTATION_CHALLENGE_UNKNOWN: {
    kind: "refused by policy",
    message: () => "the nonce is no open challenge: never issued here, or answered before",
  },
  ERR_ATTESTATION_CHALLENGE_EXPIRED: {
    kind: "refused by policy",
    message: (d) => `the challenge was to be answered within ${d.lifetimeMs} ms`,
  },
  ERR_ATTESTATION_CHALLENGES_EXHAUSTED: {
    kind: "refused by policy",
    message: (d) => `${d.maxOpen} challenges are open, no more are issued for now`,
  },
};

/** A document was refused; `code` says by which check, `details` hold the facts. */
export class AttestationError<Code extends AttestationCode = AttestationCode> extends ToolkitError<
  Code,
  AttestationRefusals[Code]
> {
  override readonly name = "AttestationError";
  constructor(code: Code, details: AttestationRefusals[Code], options?: ErrorOptions) {
    super(code, details, ATTESTATION_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyAttestationError = { [Code in AttestationCode]: AttestationError<Code> }[AttestationCode];

export function isAttestationError(error: unknown): error is AnyAttestationError {
  return error instanceof AttestationError;
}
