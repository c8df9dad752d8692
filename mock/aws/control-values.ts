/**
 * Reads what comes over a control connection: faults to inject.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { FAULT_ANSWERS, type Fault } from "./kms/faults.ts";

/** @throws {ConfigError} its form, or a fault that can not be played */
export function injectFault(aws: { injectFault(fault: Fault): void }, value: unknown): void {
  try {
    aws.injectFault(readFault(value));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalid("fault", "one that can be played", `refused: ${cause.message}`);
  }
}

function readFault(value: unknown): Fault {
  if (typeof value !== "object" || value === null) throw invalid("fault", "an object", typeof value);
  const { operation, answer, times, latencyMs, afterBytes } = value as Partial<Record<keyof Fault, unknown>>;
  if (typeof operation !== "string") throw invalid("operation", "the name of an operation, or *", typeof operation);
  const known = FAULT_ANSWERS.find((name) => name === answer);
  if (!known) throw invalid("answer", FAULT_ANSWERS.join(", "), typeof answer === "string" ? "another" : typeof answer);
  if (typeof times !== "number") throw invalid("times", "a number", typeof times);
  const optional = { latencyMs, afterBytes };
  for (const [name, number] of Object.entries(optional))
    if (number !== undefined && typeof number !== "number") throw invalid(name, "a number", typeof number);
  return {
    ...{ operation, answer: known, times },
    ...(typeof latencyMs === "number" ? { latencyMs } : {}),
    ...(typeof afterBytes === "number" ? { afterBytes } : {}),
  };
}

export function invalid(field: string, expected: string, actual: string): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
