/**
 * Reads what comes over a control connection: faults to inject, and roots.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { ConfigError } from "../../shared/errors/index.ts";
import { invalidField } from "./config-field.ts";
import { FAULT_ANSWERS, type Fault } from "./kms/faults.ts";

/** @throws {ConfigError} its form, or a fault that can not be played */
export function injectFault(aws: { injectFault(fault: Fault): void }, value: unknown): void {
  try {
    aws.injectFault(readFault(value));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalidField("fault", "one that can be played", `refused: ${cause.message}`);
  }
}

const FAULT_FIELDS: readonly (keyof Fault)[] = ["operation", "answer", "times", "latencyMs", "afterBytes"];

function readFault(value: unknown): Fault {
  if (typeof value !== "object" || value === null) throw invalidField("fault", "an object", typeof value);
  assertFields(value, FAULT_FIELDS, "fault");
  const { operation, answer, times, latencyMs, afterBytes } = value as Partial<Record<keyof Fault, unknown>>;
  if (typeof operation !== "string")
    throw invalidField("operation", "the name of an operation, or *", typeof operation);
  const known = FAULT_ANSWERS.find((name) => name === answer);
  if (!known) throw invalidField("answer", FAULT_ANSWERS.join(", "), "another");
  if (typeof times !== "number") throw invalidField("times", "a number", typeof times);
  const optional = { latencyMs, afterBytes };
  for (const [name, number] of Object.entries(optional))
    if (number !== undefined && typeof number !== "number") throw invalidField(name, "a number", typeof number);
  return {
    ...{ operation, answer: known, times },
    ...(typeof latencyMs === "number" ? { latencyMs } : {}),
    ...(typeof afterBytes === "number" ? { afterBytes } : {}),
  };
}

/** @throws {ConfigError} a member that nobody reads */
export function assertFields(value: object, known: readonly string[], field: string): void {
  for (const name of Object.keys(value))
    if (!known.includes(name)) throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `${field}.${name}`, known });
}

/** One X.509 certificate in DER, and nothing else. @throws {ConfigError} */
export function readRoot(base64: string, field: string): Uint8Array {
  const der = Uint8Array.from(Buffer.from(base64, "base64"));
  try {
    const certificate = new X509Certificate(der);
    // Node takes PEM, and bytes behind the certificate, as well.
    if (Buffer.compare(certificate.raw, der) === 0) return der;
  } catch (cause) {
    throw invalidField(field, "an X.509 certificate", "another form", { cause });
  }
  throw invalidField(field, "one X.509 certificate in DER", "more or other bytes");
}
