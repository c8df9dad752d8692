/**
 * Why a file is not an enclave image this toolkit reads.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface EifRefusals {
  /** The header lies or is not one. */
  readonly ERR_EIF_HEADER: { readonly field: string; readonly rule: string };
  /** A section contradicts the header or the layout. */
  readonly ERR_EIF_SECTION: { readonly section: number; readonly rule: string };
  /** The CRC-32 does not match. Not a security check. */
  readonly ERR_EIF_CRC: { readonly expected: string; readonly actual: string };
  /** The ramdisk is not a cpio archive this toolkit reads. */
  readonly ERR_EIF_ARCHIVE: { readonly entry: string; readonly rule: string };
  /** Not a readable regular file. */
  readonly ERR_EIF_FILE: { readonly path: string; readonly reason: string };
  /** The signature section is not what AWS's tools write. `path` points into it, e.g. `[0].signing_certificate`. */
  readonly ERR_EIF_SIGNATURE: { readonly path: string; readonly rule: string };
  /** The signing certificate's key did not sign this image's PCR0. */
  readonly ERR_EIF_SIGNATURE_INVALID: { readonly reason: string };
  /** The signing certificate is outside its validity. Times are ISO 8601. */
  readonly ERR_EIF_CERTIFICATE_TIME: { readonly notBefore: string; readonly notAfter: string; readonly at: string };
  /** A measurement is not the expected one. Hex; `actual` is `absent` where the image has none. */
  readonly ERR_EIF_MEASUREMENT: { readonly index: number; readonly expected: string; readonly actual: string };
  /** The section table is not the expected one, though PCRs may agree: they hash content without its boundaries. */
  readonly ERR_EIF_TABLE: { readonly section: number; readonly expected: string; readonly actual: string };
  /** The signing key does not fit: not P-384, or not the certificate's. */
  readonly ERR_EIF_SIGNING_KEY: { readonly path: string; readonly rule: string };
  /** What an image is to be built from is not what it should be: a kernel, a layer, a configuration. */
  readonly ERR_EIF_INPUT: { readonly input: string; readonly rule: string };
  /** An input is not the one that was pinned. SHA-256 in hex; `absent` where there is none. */
  readonly ERR_EIF_INPUT_DRIFT: { readonly input: string; readonly expected: string; readonly actual: string };
  /** An entry of a tar archive or a folder that no image is built from. */
  readonly ERR_EIF_SOURCE: { readonly entry: string; readonly rule: string };
  /** A build from the same inputs gave another image than the manifest says, or than the file that is there. */
  readonly ERR_EIF_REBUILD: { readonly field: string; readonly expected: string; readonly actual: string };
  /** The result can not be written. */
  readonly ERR_EIF_OUTPUT: { readonly path: string; readonly reason: string };
}

export type EifCode = keyof EifRefusals;

export const EIF_TABLE: CodeTable<EifRefusals> = {
  ERR_EIF_HEADER: { kind: "not authentic", message: (d) => `EIF header field ${d.field}: ${d.rule}` },
  ERR_EIF_SECTION: { kind: "not authentic", message: (d) => `EIF section ${d.section}: ${d.rule}` },
  ERR_EIF_CRC: { kind: "not authentic", message: (d) => `EIF checksum is ${d.actual}, its header says ${d.expected}` },
  ERR_EIF_ARCHIVE: { kind: "not authentic", message: (d) => `ramdisk entry ${d.entry}: ${d.rule}` },
  ERR_EIF_FILE: { kind: "usage", message: (d) => `can not read ${d.path}: ${d.reason}` },
  ERR_EIF_SIGNATURE: { kind: "not authentic", message: (d) => `EIF signature ${d.path}: ${d.rule}` },
  ERR_EIF_SIGNATURE_INVALID: { kind: "not authentic", message: (d) => `EIF signature is not valid: ${d.reason}` },
  ERR_EIF_CERTIFICATE_TIME: {
    kind: "refused by policy",
    message: (d) => `the signing certificate is valid from ${d.notBefore} to ${d.notAfter}, not at ${d.at}`,
  },
  ERR_EIF_MEASUREMENT: {
    kind: "refused by policy",
    message: (d) => `PCR${d.index} must be ${d.expected}, the image's is ${d.actual}`,
  },
  ERR_EIF_TABLE: {
    kind: "refused by policy",
    message: (d) => `EIF section ${d.section} must be ${d.expected}, the image's is ${d.actual}`,
  },
  ERR_EIF_SIGNING_KEY: { kind: "usage", message: (d) => `can not sign with ${d.path}: ${d.rule}` },
  ERR_EIF_INPUT: { kind: "usage", message: (d) => `${d.input} can not be built into an image: ${d.rule}` },
  ERR_EIF_INPUT_DRIFT: {
    kind: "refused by policy",
    message: (d) => `${d.input} is pinned as ${d.expected}, found ${d.actual}`,
  },
  ERR_EIF_SOURCE: { kind: "usage", message: (d) => `entry ${d.entry}: ${d.rule}` },
  ERR_EIF_REBUILD: {
    kind: "refused by policy",
    message: (d) => `${d.field} is ${d.expected}, rebuilt it is ${d.actual}`,
  },
  ERR_EIF_OUTPUT: { kind: "usage", message: (d) => `can not write ${d.path}: ${d.reason}` },
};

export class EifError<Code extends EifCode = EifCode> extends ToolkitError<Code, EifRefusals[Code]> {
  override readonly name = "EifError";
  constructor(code: Code, details: EifRefusals[Code], options?: ErrorOptions) {
    super(code, details, EIF_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyEifError = { [Code in EifCode]: EifError<Code> }[EifCode];

export function isEifError(error: unknown): error is AnyEifError {
  return error instanceof EifError;
}
