/**
 * Why the durable state of an emulator is not opened, or can not be written any more.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface StateRefusals {
  /** The directory is not this user's alone, or can not be used. */
  readonly ERR_STATE_DIRECTORY: { readonly path: string; readonly rule: string };
  /** A running process owns the directory. `pid` is the number it gave when it took it. */
  readonly ERR_STATE_LOCKED: { readonly path: string; readonly pid: number };
  /** The passphrase or the token's key is another one, or the first bytes of the journal were changed. */
  readonly ERR_STATE_SECRET: { readonly path: string; readonly sealedUnder: string; readonly given: string };
  /** Not what this toolkit wrote: changed, out of order, or of another version. `part` is a place, e.g. `byte 117`. */
  readonly ERR_STATE_MALFORMED: { readonly part: string; readonly rule: string };
  /** A change could not be made durable, e.g. on a full disk; nothing is acknowledged from then on. */
  readonly ERR_STATE_FAILED: { readonly reason: string };
  /** The state was closed before. */
  readonly ERR_STATE_CLOSED: Readonly<Record<string, never>>;
}

export type StateCode = keyof StateRefusals;

export const STATE_TABLE: CodeTable<StateRefusals> = {
  ERR_STATE_DIRECTORY: { kind: "refused by policy", message: (d) => `will not keep state in ${d.path}: ${d.rule}` },
  ERR_STATE_LOCKED: { kind: "unreachable", message: (d) => `process ${d.pid} owns the state in ${d.path}` },
  ERR_STATE_SECRET: {
    kind: "not authentic",
    message: (d) =>
      `the ${d.given} that was given does not open the state in ${d.path}, which is sealed under a ${d.sealedUnder}`,
  },
  ERR_STATE_MALFORMED: { kind: "not authentic", message: (d) => `the state was changed: ${d.part}: ${d.rule}` },
  ERR_STATE_FAILED: { kind: "host lacks", message: (d) => `the state can not be made durable: ${d.reason}` },
  ERR_STATE_CLOSED: { kind: "usage", message: () => "the state is closed" },
};

export class StateError<Code extends StateCode = StateCode> extends ToolkitError<Code, StateRefusals[Code]> {
  override readonly name = "StateError";
  constructor(code: Code, details: StateRefusals[Code], options?: ErrorOptions) {
    super(code, details, STATE_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyStateError = { [Code in StateCode]: StateError<Code> }[StateCode];

export function isStateError(error: unknown): error is AnyStateError {
  return error instanceof StateError;
}
