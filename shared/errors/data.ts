/**
 * Why sensitive data was not opened or not processed. Never quotes the data.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface DataRefusals {
  /** The sealed message does not open: key, context, commitment or signature. */
  readonly ERR_DATA_NOT_OPENED: { readonly dataset: string };
  /** The header line is another one. */
  readonly ERR_DATA_HEADER: { readonly dataset: string; readonly expected: readonly string[] };
  /** A broken row. Names the place and the form expected, never the value. */
  readonly ERR_DATA_ROW: {
    readonly dataset: string;
    readonly line: number;
    readonly column: string;
    readonly expected: string;
  };
  /** The query set is fixed. */
  readonly ERR_DATA_QUERY_UNKNOWN: { readonly known: readonly string[] };
  /** A query came before its data. */
  readonly ERR_DATA_MISSING: { readonly dataset: string };
  /** The data set was loaded before; an enclave takes each once. */
  readonly ERR_DATA_LOADED: { readonly dataset: string };
  /** More bytes than the enclave takes. */
  readonly ERR_DATA_TOO_LARGE: { readonly dataset: string; readonly maximum: number };
  /** The store has no object of this name. */
  readonly ERR_DATA_OBJECT_MISSING: { readonly object: string };
  /** The store gave other bytes than the anchor names: an older state, or none of ours. */
  readonly ERR_DATA_ROLLED_BACK: { readonly state: string; readonly version: number };
  /** Somebody else wrote first: `version` is what stands now. */
  readonly ERR_DATA_CONFLICT: { readonly state: string; readonly version: number };
  /** A result whose signature does not verify under the key in its document. */
  readonly ERR_DATA_RESULT_SIGNATURE: Readonly<Record<string, never>>;
}

export type DataCode = keyof DataRefusals;

export const DATA_TABLE: CodeTable<DataRefusals> = {
  ERR_DATA_NOT_OPENED: {
    kind: "not authentic",
    message: (d) => `data set ${d.dataset} is not a message sealed for this purpose, or was changed`,
  },
  ERR_DATA_HEADER: {
    kind: "usage",
    message: (d) => `the first line of data set ${d.dataset} must be ${d.expected.join(",")}`,
  },
  ERR_DATA_ROW: {
    kind: "usage",
    message: (d) => `data set ${d.dataset}, line ${d.line}, column ${d.column}: expected ${d.expected}`,
  },
  ERR_DATA_QUERY_UNKNOWN: {
    kind: "usage",
    message: (d) => `not a query of this enclave; known are ${d.known.join(", ")}`,
  },
  ERR_DATA_MISSING: { kind: "usage", message: (d) => `data set ${d.dataset} has not been loaded` },
  ERR_DATA_LOADED: {
    kind: "refused by policy",
    message: (d) => `data set ${d.dataset} is loaded already, and an enclave takes each once`,
  },
  ERR_DATA_TOO_LARGE: { kind: "usage", message: (d) => `data set ${d.dataset} is larger than ${d.maximum} bytes` },
  ERR_DATA_OBJECT_MISSING: { kind: "usage", message: (d) => `the store has no object ${d.object}` },
  ERR_DATA_ROLLED_BACK: {
    kind: "not authentic",
    message: (d) => `the store does not give version ${d.version} of state ${d.state}, which the anchor names`,
  },
  ERR_DATA_CONFLICT: {
    kind: "refused by policy",
    message: (d) => `state ${d.state} is at version ${d.version} by now: read it and write again`,
  },
  ERR_DATA_RESULT_SIGNATURE: { kind: "not authentic", message: () => "the attested key did not sign this result" },
};

export class DataError<Code extends DataCode = DataCode> extends ToolkitError<Code, DataRefusals[Code]> {
  override readonly name = "DataError";
  constructor(code: Code, details: DataRefusals[Code], options?: ErrorOptions) {
    super(code, details, DATA_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyDataError = { [Code in DataCode]: DataError<Code> }[DataCode];

export function isDataError(error: unknown): error is AnyDataError {
  return error instanceof DataError;
}
