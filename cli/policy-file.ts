/**
 * Reads an attestation policy from JSON: the same fields as `AttestationPolicy`, byte strings as hex.
 *
 * @module
 */
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  dangerouslyTrustRoot,
  type TrustAnchor,
} from "../shared/attestation/index.ts";
import { fromHex } from "../shared/bytes.ts";
import { ConfigError } from "../shared/errors/index.ts";

type Json = Readonly<Record<string, unknown>>;

function invalid(field: string, expected: string, value: unknown): ConfigError {
  if (value === undefined) return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected });
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual: typeof value });
}

/** `"aws"`, or `{"dangerouslyTrustRoot": base64 DER}`. */
function readRoot(value: unknown, index: number): TrustAnchor {
  if (value === "aws") return AWS_NITRO_ROOT_G1;
  const named = typeof value === "object" && value !== null ? (value as Json)["dangerouslyTrustRoot"] : undefined;
  if (typeof named === "string" && /^[A-Za-z0-9+/]+={0,2}$/.test(named)) {
    return dangerouslyTrustRoot(new Uint8Array(Buffer.from(named, "base64")));
  }
  throw invalid(`roots[${index}]`, '"aws" or {"dangerouslyTrustRoot": base64 of its DER}', value ?? null);
}

function readBytes(field: string, value: unknown): Uint8Array | "unchecked" {
  if (value === "unchecked") return value;
  if (typeof value !== "string" || !/^([0-9a-fA-F]{2})*$/.test(value))
    throw invalid(field, 'hex, or "unchecked"', value);
  return fromHex(value);
}

/**
 * The policy that a JSON object writes down. What is left out stays out: `verifyAttestation` names it.
 *
 * @throws {ConfigError}
 */
export function policyFromJson(json: Json): AttestationPolicy {
  const { roots, nonce, userData, publicKey, ...rest } = json;
  if (!Array.isArray(roots) || roots.length === 0) throw invalid("roots", 'an array: "aws" or a named root', roots);
  const fields = { nonce, userData, publicKey };
  const bytes = Object.entries(fields).map(([field, value]) => [field, readBytes(field, value)]);
  // Unknown and missing fields pass through: `readPolicy` refuses them by name.
  return { ...rest, roots: roots.map(readRoot), ...Object.fromEntries(bytes) } as unknown as AttestationPolicy;
}
