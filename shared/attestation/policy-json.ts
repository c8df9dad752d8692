/**
 * Reads an attestation policy that was written as JSON: the fields of `AttestationPolicy`, byte strings as hex.
 *
 * The form is published as `schemas/attestation-policy.json`. What is left out stays left out: `verifyAttestation` names
 * each field that is missing or not known, for files and for code alike.
 *
 * @module
 */
import { fromHex } from "../bytes.ts";
import { refusing } from "../cose/sign1.ts";
import { readCertificate } from "../der/certificate.ts";
import { ConfigError } from "../errors/config.ts";
import type { AttestationPolicy } from "./policy.ts";
import { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot, type TrustAnchor } from "./trust.ts";

const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

type Json = Readonly<Record<string, unknown>>;

function invalid(field: string, expected: string, value: unknown): ConfigError {
  if (value === undefined) return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected });
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual: typeof value });
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `"aws"`, or `{"dangerouslyTrustRoot": base64 of its DER}`. */
function readRoot(value: unknown, index: number): TrustAnchor {
  if (value === "aws") return AWS_NITRO_ROOT_G1;
  const named = isObject(value) && Object.keys(value).length === 1 ? value["dangerouslyTrustRoot"] : undefined;
  const refusal = (): ConfigError =>
    invalid(
      `roots[${index}]`,
      '"aws" or {"dangerouslyTrustRoot": base64 of a P-384 certificate\'s DER}',
      value ?? null,
    );
  if (typeof named !== "string" || !BASE64.test(named)) throw refusal();
  const der = Uint8Array.from(atob(named), (character) => character.charCodeAt(0));
  refusing(() => readCertificate(der), refusal);
  return dangerouslyTrustRoot(der);
}

function readHex(field: string, value: unknown): Uint8Array | "unchecked" | undefined {
  if (value === undefined || value === "unchecked") return value;
  if (typeof value !== "string" || !/^([0-9a-fA-F]{2})*$/.test(value))
    throw invalid(field, 'hex, or "unchecked"', value);
  return fromHex(value);
}

/**
 * The policy that a parsed JSON value writes down.
 *
 * @throws {ConfigError} a field whose form JSON can not carry; missing and unknown fields are named by `verifyAttestation`
 */
export function attestationPolicyFromJson(json: unknown): AttestationPolicy {
  if (!isObject(json)) throw invalid("policy", "an object", json ?? null);
  // Editors bind the published schema by this key; it demands nothing.
  const { $schema: _, roots, userData, ...rest } = json;
  if (!Array.isArray(roots) || roots.length === 0) throw invalid("roots", 'an array: "aws" or a named root', roots);
  const policy: Record<string, unknown> = { ...rest, roots: roots.map(readRoot), userData };
  for (const field of ["nonce", "publicKey"]) policy[field] = readHex(field, json[field]);
  if (isObject(userData)) policy["userData"] = { ...userData, digest: readHex("userData.digest", userData["digest"]) };
  else policy["userData"] = readHex("userData", userData);
  return policy as unknown as AttestationPolicy;
}
