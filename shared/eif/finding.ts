/**
 * What a reader found wrong or odd in an image, as data.
 *
 * One parser serves two readers. The strict one refuses at the first error; the other one collects errors, goes on the
 * way AWS's reader would, and says where that differs. Warnings are collected by both: they name what a person who
 * reviews an image wants to see, and refuse nothing.
 *
 * Source of what AWS's reader does: aws-nitro-enclaves-image-format 0.8.1, `src/utils/eif_reader.rs`.
 *
 * @module
 */
import { type EifCode, EifError, type EifRefusals, isEifError } from "../errors/eif.ts";

export type EifWarning =
  | "architecture"
  | "cmdline-nul"
  | "cmdline-length"
  | "cmdline-text"
  | "cmdline-init"
  | "cmdline-initrd"
  | "cmdline-bootconfig"
  | "cmdline-debug"
  | "cmdline-console"
  | "metadata-ambiguous"
  | "metadata-fields"
  | "pcr2-constant";

export type EifFinding =
  | {
      readonly severity: "error";
      /** What the strict reader refuses with. */
      readonly code: EifCode;
      readonly message: string;
      /** What AWS's own reader does instead. */
      readonly aws: string;
    }
  | { readonly severity: "warning"; readonly code: EifWarning; readonly message: string };

/** Where a parser says what it found. */
export interface Findings {
  readonly all: readonly EifFinding[];
  error<Code extends EifCode>(code: Code, details: EifRefusals[Code], aws: string): void;
  warn(code: EifWarning, message: string): void;
  /** Runs a step whose refusal is an error like any other: thrown on, or collected and answered with `undefined`. */
  attempt<Result>(step: () => Result, aws: string): Result | undefined;
}

/** Refuses at the first error. */
export function strict(): Findings {
  const all: EifFinding[] = [];
  return {
    all,
    error: (code, details) => {
      throw new EifError(code, details);
    },
    warn: (code, message) => void all.push({ severity: "warning", code, message }),
    attempt: (step) => step(),
  };
}

/** Collects errors and lets the parser go on. */
export function collecting(): Findings {
  const all: EifFinding[] = [];
  const add = ({ code, message }: EifError, aws: string): void => {
    all.push({ severity: "error", code, message, aws });
  };
  return {
    all,
    error: (code, details, aws) => add(new EifError(code, details), aws),
    warn: (code, message) => void all.push({ severity: "warning", code, message }),
    attempt: (step, aws) => {
      try {
        return step();
      } catch (error) {
        if (!isEifError(error)) throw error;
        add(error, aws);
        return undefined;
      }
    },
  };
}
