/**
 * A mock root as JSON, for a file or for another process of the same user.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/config.ts";
import type { MockRoot } from "./pki.ts";

/** Both in base64. */
export interface MockRootJson {
  readonly certificate: string;
  readonly privateKey: string;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function rootToJson({ certificate, privateKey }: MockRoot): { certificate: string; privateKey: string } {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return { certificate: base64(certificate), privateKey: base64(privateKey) };
}

/** @throws {ConfigError} it is something else; says nothing of what it holds */
export function rootFromJson(value: unknown): MockRoot {
  const { certificate, privateKey } = (value ?? {}) as Record<string, unknown>;
  return { certificate: bytesOf("certificate", certificate), privateKey: bytesOf("privateKey", privateKey) };
}

function bytesOf(field: string, value: unknown): Uint8Array {
  if (typeof value === "string" && value !== "" && BASE64.test(value))
    return new Uint8Array(Buffer.from(value, "base64"));
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected: "base64", actual: typeof value });
}
