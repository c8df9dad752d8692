/**
 * The one shape that every refusal in this toolkit has: a stable code, facts, a cause.
 *
 * Each area (attestation, transport, …) keeps one table: code → kind and message. The table drives the message, the
 * exit code of a command, and `docs/errors.md`. A refusal is data; a programmer's mistake is a `TypeError`.
 *
 * Log-safe by construction: `details` hold digests, indexes, names, times and sizes, never plaintext, keys or tokens.
 *
 * @module
 */

/** What sort of "no" it is. A command's exit code follows from it. */
export type RefusalKind = "usage" | "not authentic" | "refused by policy" | "unreachable" | "host lacks";

/** Exit codes by kind; 0 is success and 1 is a bug. */
export const EXIT_CODES: Readonly<Record<RefusalKind, number>> = {
  usage: 2,
  "not authentic": 3,
  "refused by policy": 4,
  unreachable: 5,
  "host lacks": 6,
};

/** One row of an area's table. */
export interface CodeEntry<Details> {
  readonly kind: RefusalKind;
  readonly message: (details: Details) => string;
}

/** An area's table: the compiler insists on every code. */
export type CodeTable<Refusals> = { readonly [Code in keyof Refusals]: CodeEntry<Refusals[Code]> };

/** What crosses a process boundary. */
export interface ErrorJson {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Base of every error this toolkit throws on purpose. */
export class ToolkitError<Code extends string = string, Details extends object = object> extends Error {
  readonly code: Code;
  readonly details: Details;
  readonly kind: RefusalKind;

  constructor(code: Code, details: Details, entry: CodeEntry<Details>, options?: ErrorOptions) {
    super(entry.message(details), options);
    this.code = code;
    this.details = details;
    this.kind = entry.kind;
  }

  toJSON(): ErrorJson {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      details: this.details as Readonly<Record<string, unknown>>,
    };
  }
}

/** Whether `error` is a refusal of this toolkit, of whatever area. */
export function isToolkitError(error: unknown): error is ToolkitError {
  return error instanceof ToolkitError;
}
