/**
 * Why a configuration or a policy is not usable.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface ConfigRefusals {
  /** A required field is not there. Absence is not permission. */
  readonly ERR_CONFIG_FIELD_MISSING: { readonly field: string; readonly expected: string; readonly at?: string };
  /** A field has another form. `actual` is its type or size, never its content. */
  readonly ERR_CONFIG_FIELD_INVALID: {
    readonly field: string;
    readonly expected: string;
    readonly actual: string;
    readonly at?: string;
  };
  /** Not a field: often a typing error. */
  readonly ERR_CONFIG_FIELD_UNKNOWN: {
    readonly field: string;
    readonly known: readonly string[];
    readonly at?: string;
  };
  /** A file that was named can not be read or parsed. */
  readonly ERR_CONFIG_FILE: { readonly path: string; readonly reason: string };
  /** A file that was named is not in the strict form of its language. `line` and `column` count from 1. */
  readonly ERR_CONFIG_SYNTAX: {
    readonly path: string;
    readonly line: number;
    readonly column: number;
    readonly rule: string;
  };
  /** An optional npm package that a setting needs is not installed. */
  readonly ERR_CONFIG_PACKAGE: { readonly package: string; readonly neededFor: string };
}

export type ConfigCode = keyof ConfigRefusals;

/** Where in a file a field stands, `file:line:column`, when it came from one. */
function placed({ at }: { readonly at?: string }): string {
  return at === undefined ? "" : `${at}: `;
}

export const CONFIG_TABLE: CodeTable<ConfigRefusals> = {
  ERR_CONFIG_FIELD_MISSING: {
    kind: "usage",
    message: (d) => `${placed(d)}${d.field} is missing: it must be ${d.expected}`,
  },
  ERR_CONFIG_FIELD_INVALID: {
    kind: "usage",
    message: (d) => `${placed(d)}${d.field} must be ${d.expected}, it is ${d.actual}`,
  },
  ERR_CONFIG_FIELD_UNKNOWN: {
    kind: "usage",
    message: (d) => `${placed(d)}${d.field} is not a field; known are ${d.known.join(", ")}`,
  },
  ERR_CONFIG_FILE: { kind: "usage", message: (d) => `can not use ${d.path}: ${d.reason}` },
  ERR_CONFIG_SYNTAX: { kind: "usage", message: (d) => `${d.path}:${d.line}:${d.column}: ${d.rule}` },
  ERR_CONFIG_PACKAGE: {
    kind: "host lacks",
    message: (d) => `${d.neededFor} needs the npm package ${d.package}, which is not installed`,
  },
};

export class ConfigError<Code extends ConfigCode = ConfigCode> extends ToolkitError<Code, ConfigRefusals[Code]> {
  override readonly name = "ConfigError";
  constructor(code: Code, details: ConfigRefusals[Code], options?: ErrorOptions) {
    super(code, details, CONFIG_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyConfigError = { [Code in ConfigCode]: ConfigError<Code> }[ConfigCode];

export function isConfigError(error: unknown): error is AnyConfigError {
  return error instanceof ConfigError;
}
