/**
 * Why bytes are not the strict CBOR or DER that this toolkit reads. Internal: parsers wrap these with a path.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface EncodingRefusals {
  /** Not well-formed, or not in the strict form. `offset` in bytes. */
  readonly ERR_CBOR_MALFORMED: { readonly offset: number; readonly rule: string };
  /** Not DER, or not the structure expected. `offset` in bytes. */
  readonly ERR_ASN1_MALFORMED: { readonly offset: number; readonly rule: string };
}

export type EncodingCode = keyof EncodingRefusals;

export const ENCODING_TABLE: CodeTable<EncodingRefusals> = {
  ERR_CBOR_MALFORMED: { kind: "not authentic", message: (d) => `CBOR at byte ${d.offset}: ${d.rule}` },
  ERR_ASN1_MALFORMED: { kind: "not authentic", message: (d) => `DER at byte ${d.offset}: ${d.rule}` },
};

export class EncodingError<Code extends EncodingCode = EncodingCode> extends ToolkitError<
  Code,
  EncodingRefusals[Code]
> {
  override readonly name = "EncodingError";
  constructor(code: Code, details: EncodingRefusals[Code], options?: ErrorOptions) {
    super(code, details, ENCODING_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyEncodingError = { [Code in EncodingCode]: EncodingError<Code> }[EncodingCode];

export function isEncodingError(error: unknown): error is AnyEncodingError {
  return error instanceof EncodingError;
}
