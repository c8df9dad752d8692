/**
 * Why the attested KMS client did not hand out a plaintext.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface KmsRefusals {
  /** Key ids and aliases can be re-pointed by others; only the full key ARN is pinned. */
  readonly ERR_KMS_KEY_ID_NOT_ARN: { readonly keyId: string };
  /** KMS never sends plaintext beside a Recipient. */
  readonly ERR_KMS_PLAINTEXT_IN_RESPONSE: { readonly operation: string };
  /** KMS ignored the Recipient. Never a fallback to Plaintext. */
  readonly ERR_KMS_RECIPIENT_MISSING: { readonly operation: string };
  /** The answer is for another key. */
  readonly ERR_KMS_KEY_ID_MISMATCH: { readonly expected: string; readonly actual: string };
  /** The answer was made with another algorithm than asked for. */
  readonly ERR_KMS_ALGORITHM_MISMATCH: { readonly expected: string; readonly actual: string };
  /** The answer to GenerateDataKey has a key of another length, or no CiphertextBlob. Lengths in bytes. */
  readonly ERR_KMS_DATA_KEY_INVALID: { readonly expectedBytes: number; readonly actualBytes: number };
  /** One code for whatever is wrong with the CMS message: structure, recipient, key, padding. */
  readonly ERR_KMS_RECIPIENT_UNOPENABLE: Readonly<Record<string, never>>;
  /** KMS answered AccessDeniedException. */
  readonly ERR_KMS_ACCESS_DENIED: { readonly operation: string; readonly reason: string };
  /** KMS answered another error. `error` is its name. */
  readonly ERR_KMS_REFUSED: { readonly operation: string; readonly error: string; readonly reason: string };
  /** No usable answer: network, TLS or time. */
  readonly ERR_KMS_UNREACHABLE: { readonly operation: string; readonly reason: string };
  /** The call did not end in time, waiting for its turn and all attempts included. */
  readonly ERR_KMS_DEADLINE: { readonly operation: string; readonly deadlineMs: number; readonly attempts: number };
  /** So many attempts in a row reached nobody that none is made for a while. */
  readonly ERR_KMS_CIRCUIT_OPEN: { readonly operation: string; readonly retryInMs: number };
  /** The credentials are another role's than the one pinned. */
  readonly ERR_KMS_ROLE_MISMATCH: { readonly expected: string; readonly actual: string };
  /** This enclave's clock and KMS's are further apart than may be corrected. */
  readonly ERR_KMS_CLOCK_SKEW: { readonly skewMs: number; readonly maximumMs: number };
}

export type KmsCode = keyof KmsRefusals;

export const KMS_TABLE: CodeTable<KmsRefusals> = {
  ERR_KMS_KEY_ID_NOT_ARN: { kind: "usage", message: (d) => `name the key by its full ARN, not by ${d.keyId}` },
  ERR_KMS_PLAINTEXT_IN_RESPONSE: {
    kind: "not authentic",
    message: (d) => `the answer to ${d.operation} carries Plaintext although a Recipient was sent: it is not KMS's`,
  },
  ERR_KMS_RECIPIENT_MISSING: {
    kind: "not authentic",
    message: (d) => `the answer to ${d.operation} lacks CiphertextForRecipient`,
  },
  ERR_KMS_KEY_ID_MISMATCH: {
    kind: "not authentic",
    message: (d) => `the answer names key ${d.actual}, ${d.expected} was asked for`,
  },
  ERR_KMS_ALGORITHM_MISMATCH: {
    kind: "not authentic",
    message: (d) => `the answer says algorithm ${d.actual}, ${d.expected} was asked for`,
  },
  ERR_KMS_DATA_KEY_INVALID: {
    kind: "not authentic",
    message: (d) =>
      `a data key of ${d.expectedBytes} bytes with its CiphertextBlob was asked for, ${d.actualBytes} came`,
  },
  ERR_KMS_RECIPIENT_UNOPENABLE: {
    kind: "not authentic",
    message: () => "CiphertextForRecipient does not open with this enclave's key",
  },
  ERR_KMS_ACCESS_DENIED: { kind: "refused by policy", message: (d) => `KMS denied ${d.operation}: ${d.reason}` },
  ERR_KMS_REFUSED: {
    kind: "refused by policy",
    message: (d) => `KMS refused ${d.operation} with ${d.error}: ${d.reason}`,
  },
  ERR_KMS_UNREACHABLE: { kind: "unreachable", message: (d) => `no answer from KMS to ${d.operation}: ${d.reason}` },
  ERR_KMS_DEADLINE: {
    kind: "unreachable",
    message: (d) => `${d.operation} did not end in ${d.deadlineMs} ms, after ${d.attempts} attempts`,
  },
  ERR_KMS_CIRCUIT_OPEN: {
    kind: "unreachable",
    message: (d) => `${d.operation} is not tried: KMS was not reached of late; again in ${d.retryInMs} ms`,
  },
  ERR_KMS_ROLE_MISMATCH: {
    kind: "refused by policy",
    message: (d) => `the credentials are those of ${d.actual}, ${d.expected} is expected`,
  },
  ERR_KMS_CLOCK_SKEW: {
    kind: "refused by policy",
    message: (d) => `the clock is ${d.skewMs} ms off KMS's, at most ${d.maximumMs} ms are corrected`,
  },
};

export class KmsError<Code extends KmsCode = KmsCode> extends ToolkitError<Code, KmsRefusals[Code]> {
  override readonly name = "KmsError";
  constructor(code: Code, details: KmsRefusals[Code], options?: ErrorOptions) {
    super(code, details, KMS_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyKmsError = { [Code in KmsCode]: KmsError<Code> }[KmsCode];

export function isKmsError(error: unknown): error is AnyKmsError {
  return error instanceof KmsError;
}
