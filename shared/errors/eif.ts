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
}

export type EifCode = keyof EifRefusals;

export const EIF_TABLE: CodeTable<EifRefusals> = {
  ERR_EIF_HEADER: { kind: "not authentic", message: (d) => `EIF header field ${d.field}: ${d.rule}` },
  ERR_EIF_SECTION: { kind: "not authentic", message: (d) => `EIF section ${d.section}: ${d.rule}` },
  ERR_EIF_CRC: { kind: "not authentic", message: (d) => `EIF checksum is ${d.actual}, its header says ${d.expected}` },
  ERR_EIF_ARCHIVE: { kind: "not authentic", message: (d) => `ramdisk entry ${d.entry}: ${d.rule}` },
  ERR_EIF_FILE: { kind: "usage", message: (d) => `can not read ${d.path}: ${d.reason}` },
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
