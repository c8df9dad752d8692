/**
 * Why an enclave does not start, or stops speaking to others: what its doctor found, and what its parent handed it.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface EnclaveRefusals {
  /** Random numbers may be known to others: NSM does not feed the kernel's pool, or gives no sound bytes. */
  readonly ERR_ENCLAVE_ENTROPY: { readonly rule: string };
  /** The system's clock is further from NSM's signed time than may be corrected; positive where it is behind. */
  readonly ERR_ENCLAVE_CLOCK: { readonly driftMs: number; readonly maximumMs: number };
  /** The kernel is older than the oldest that is sound. */
  readonly ERR_ENCLAVE_KERNEL: { readonly release: string; readonly minimum: string };
  /** PCR0, PCR1 or PCR2 of the enclave's own document is zero: its parent can read its memory. */
  readonly ERR_ENCLAVE_DEBUG_MODE: { readonly index: number };
  /** The enclave's own document is refused under the roots in its own image. `reason` is the refusal's code. */
  readonly ERR_ENCLAVE_IDENTITY: { readonly reason: string };
  /** The image carries no root, or none that can be used now. */
  readonly ERR_ENCLAVE_ROOTS: { readonly roots: "attestation" | "tls"; readonly rule: string };
  /** What the parent handed as configuration is not one strict JSON document of at most 64 KiB. Never holds the text. */
  readonly ERR_ENCLAVE_CONFIGURATION: { readonly rule: string };
  /** Whoever asks on the loopback is not the program that this enclave runs. */
  readonly ERR_ENCLAVE_TOKEN: Readonly<Record<string, never>>;
  /** The program that the enclave runs does not start. `reason` is the system's error name. */
  readonly ERR_ENCLAVE_PROGRAM: { readonly reason: string };
}

export type EnclaveCode = keyof EnclaveRefusals;

export const ENCLAVE_TABLE: CodeTable<EnclaveRefusals> = {
  ERR_ENCLAVE_ENTROPY: { kind: "host lacks", message: (d) => `no sound source of random numbers: ${d.rule}` },
  ERR_ENCLAVE_CLOCK: {
    kind: "host lacks",
    message: (d) => `the clock is ${d.driftMs} ms from NSM's, at most ${d.maximumMs} ms is corrected`,
  },
  ERR_ENCLAVE_KERNEL: {
    kind: "host lacks",
    message: (d) => `kernel ${d.release} is older than ${d.minimum}`,
  },
  ERR_ENCLAVE_DEBUG_MODE: {
    kind: "refused by policy",
    message: (d) => `PCR${d.index} is zero: this enclave runs in debug mode, and its parent can read its memory`,
  },
  ERR_ENCLAVE_IDENTITY: {
    kind: "not authentic",
    message: (d) => `this enclave's own document is refused under the roots of its image: ${d.reason}`,
  },
  ERR_ENCLAVE_ROOTS: { kind: "usage", message: (d) => `the image's ${d.roots} roots are not usable: ${d.rule}` },
  ERR_ENCLAVE_CONFIGURATION: {
    kind: "not authentic",
    message: (d) => `the parent's configuration is not usable: ${d.rule}`,
  },
  ERR_ENCLAVE_TOKEN: { kind: "refused by policy", message: () => "the request does not carry the program's token" },
  ERR_ENCLAVE_PROGRAM: { kind: "host lacks", message: (d) => `the program does not start: ${d.reason}` },
};

export class EnclaveError<Code extends EnclaveCode = EnclaveCode> extends ToolkitError<Code, EnclaveRefusals[Code]> {
  override readonly name = "EnclaveError";
  constructor(code: Code, details: EnclaveRefusals[Code], options?: ErrorOptions) {
    super(code, details, ENCLAVE_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyEnclaveError = { [Code in EnclaveCode]: EnclaveError<Code> }[EnclaveCode];

export function isEnclaveError(error: unknown): error is AnyEnclaveError {
  return error instanceof EnclaveError;
}
