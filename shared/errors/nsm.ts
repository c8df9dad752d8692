/**
 * Why a call of the Nitro Secure Module failed.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface NsmRefusals {
  /** The device is not there or can not be opened. */
  readonly ERR_NSM_UNAVAILABLE: { readonly device: string; readonly reason: string };
  /** Larger than the device takes. Sizes in bytes. */
  readonly ERR_NSM_INPUT_TOO_LARGE: { readonly field: string; readonly maximum: number; readonly actual: number };
  /** Not a request that the device knows. Only a software device says so. */
  readonly ERR_NSM_REQUEST_MALFORMED: { readonly rule: string };
  /** The reply is not what the operation answers. */
  readonly ERR_NSM_RESPONSE_MALFORMED: { readonly operation: string; readonly rule: string };
  /** The device answered `{"Error": reason}`, e.g. `ReadOnlyIndex`. */
  readonly ERR_NSM_REFUSED: { readonly operation: string; readonly reason: string };
}

export type NsmCode = keyof NsmRefusals;

export const NSM_TABLE: CodeTable<NsmRefusals> = {
  ERR_NSM_UNAVAILABLE: { kind: "host lacks", message: (d) => `no NSM at ${d.device}: ${d.reason}` },
  ERR_NSM_INPUT_TOO_LARGE: {
    kind: "usage",
    message: (d) => `${d.field} may have ${d.maximum} bytes, it has ${d.actual}`,
  },
  ERR_NSM_REQUEST_MALFORMED: { kind: "not authentic", message: (d) => `not an NSM request: ${d.rule}` },
  ERR_NSM_RESPONSE_MALFORMED: {
    kind: "not authentic",
    message: (d) => `NSM answered ${d.operation} with something else: ${d.rule}`,
  },
  ERR_NSM_REFUSED: { kind: "refused by policy", message: (d) => `NSM refused ${d.operation}: ${d.reason}` },
};

export class NsmError<Code extends NsmCode = NsmCode> extends ToolkitError<Code, NsmRefusals[Code]> {
  override readonly name = "NsmError";
  constructor(code: Code, details: NsmRefusals[Code], options?: ErrorOptions) {
    super(code, details, NSM_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyNsmError = { [Code in NsmCode]: NsmError<Code> }[NsmCode];

export function isNsmError(error: unknown): error is AnyNsmError {
  return error instanceof NsmError;
}
