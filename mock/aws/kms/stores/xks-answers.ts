/**
 * Reads what a proxy answers, in one strict form each: a member that is missing or of another shape is refused.
 *
 *   health     fleet size, vendors, one to ten key managers with their status
 *   metadata   key spec, at most ten usages, status
 *   encrypt    ciphertext as long as the plaintext, vector of 12 or 16 bytes, tag of 16, metadata up to 20, and the
 *              digest over all of them with the additional data
 *   decrypt    plaintext as long as the ciphertext
 *
 * Members that the specification does not name are let be: later proxies may have more.
 *
 * Source: External Key Store Proxy API Specification, "API operations", Appendix C.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { concat, equalBytes } from "../../../../shared/bytes.ts";
import { isJsonArray, isJsonObject, type Json, type JsonObject } from "../../json.ts";
import { ProxyFailure } from "./xks-faults.ts";

export interface ProxyCiphertext {
  readonly ciphertext: Uint8Array;
  /** Empty when the proxy gave none. */
  readonly metadata: Uint8Array;
  readonly initializationVector: Uint8Array;
  readonly authenticationTag: Uint8Array;
}

const METADATA_MAX_BYTES = 20;
const STATUSES = ["ACTIVE", "DEGRADED", "UNAVAILABLE"];

/** @throws {ProxyFailure} not the form, or no key manager can serve */
export function readHealth(answer: JsonObject): void {
  const { xksProxyFleetSize: size, ekmFleetDetails: fleet } = answer;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 1) throw malformed("xksProxyFleetSize");
  for (const name of ["xksProxyVendor", "xksProxyModel", "ekmVendor"]) text(answer, name);
  if (!isJsonArray(fleet) || fleet.length < 1 || fleet.length > 10) throw malformed("ekmFleetDetails");
  const statuses = fleet.map((manager) => {
    if (!isJsonObject(manager)) throw malformed("ekmFleetDetails");
    for (const name of ["id", "model"]) text(manager, name);
    const status = text(manager, "healthStatus");
    if (!STATUSES.includes(status)) throw malformed("healthStatus");
    return status;
  });
  if (statuses.every((status) => status === "UNAVAILABLE"))
    throw new ProxyFailure("no key manager", "every key manager is UNAVAILABLE");
}

/** @throws {ProxyFailure} not the form, or a key that KMS can not use */
export function readMetadata(answer: JsonObject): void {
  const spec = text(answer, "keySpec");
  const status = text(answer, "keyStatus");
  const { keyUsage: usage } = answer;
  if (!isJsonArray(usage) || usage.length > 10 || !usage.every(isText)) throw malformed("keyUsage");
  if (status !== "ENABLED" && status !== "DISABLED") throw malformed("keyStatus");
  if (spec !== "AES_256") throw new ProxyFailure("wrong key spec", "keySpec is not AES_256");
  if (!usage.includes("ENCRYPT") || !usage.includes("DECRYPT"))
    throw new ProxyFailure("InvalidKeyUsageException", "keyUsage has not both ENCRYPT and DECRYPT");
  if (status !== "ENABLED") throw new ProxyFailure("InvalidStateException", "keyStatus is DISABLED");
}

/**
 * @param plaintextLength of what was sent
 * @throws {ProxyFailure} not the form, or the digest is another
 */
export function readEncrypted(
  answer: JsonObject,
  { plaintextLength, additionalData }: { readonly plaintextLength: number; readonly additionalData: Uint8Array },
): ProxyCiphertext {
  const ciphertext = bytes(answer, "ciphertext");
  const initializationVector = bytes(answer, "initializationVector");
  const authenticationTag = bytes(answer, "authenticationTag");
  const metadata = Object.hasOwn(answer, "ciphertextMetadata") ? bytes(answer, "ciphertextMetadata") : new Uint8Array();
  if (ciphertext.length !== plaintextLength) throw malformed("ciphertext");
  if (initializationVector.length !== 12 && initializationVector.length !== 16) throw malformed("initializationVector");
  if (authenticationTag.length !== 16) throw malformed("authenticationTag");
  if (metadata.length > METADATA_MAX_BYTES) throw malformed("ciphertextMetadata");
  const covered = concat(additionalData, metadata, initializationVector, ciphertext, authenticationTag);
  if (!equalBytes(bytes(answer, "ciphertextDataIntegrityValue"), createHash("sha256").update(covered).digest()))
    throw malformed("ciphertextDataIntegrityValue");
  return { ciphertext, metadata, initializationVector, authenticationTag };
}

/** @throws {ProxyFailure} not the form */
export function readDecrypted(answer: JsonObject, ciphertextLength: number): Uint8Array {
  const plaintext = bytes(answer, "plaintext");
  if (plaintext.length !== ciphertextLength) throw malformed("plaintext");
  return plaintext;
}

function isText(value: Json): value is string {
  return typeof value === "string";
}

function text(answer: JsonObject, name: string): string {
  const value = answer[name];
  if (value === undefined || !isText(value) || value === "") throw malformed(name);
  return value;
}

/** Base64 of RFC 4648 §4 in its one spelling: padded, no other character, no stray bits. */
function bytes(answer: JsonObject, name: string): Uint8Array {
  const value = answer[name];
  if (value === undefined || !isText(value)) throw malformed(name);
  const decoded = Buffer.from(value, "base64");
  if (decoded.toString("base64") !== value) throw malformed(name);
  return new Uint8Array(decoded);
}

function malformed(member: string): ProxyFailure {
  return new ProxyFailure("malformed response", `${member} is not what the specification says`);
}
