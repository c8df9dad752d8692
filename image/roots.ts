/**
 * Whom an image trusts: part of what is measured, decided when it is built.
 *
 *   nitro              AWS's attestation root, and Amazon's TLS roots; nothing else is accepted
 *   emulated, mock     what the caller names: whoever holds those keys can forge what the enclave believes
 *
 * Amazon's roots are pinned by the SHA-256 of their DER; the bytes come from the roots that Node carries.
 *
 * Source: https://www.amazontrust.com/repository/ (SHA-256 of each certificate), the five that AWS's endpoints chain to.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";
import { AWS_NITRO_ROOT_G1 } from "../shared/attestation/trust.ts";
import { EifError } from "../shared/errors/eif.ts";
import { sha256 } from "./inputs.ts";
import { isRecord, parseRecord } from "./lock.ts";

export interface Roots {
  /** DER. */
  readonly attestationRoots: readonly Uint8Array[];
  /** PEM. */
  readonly tlsRoots: readonly string[];
}

/** Amazon Root CA 1, 2, 3, 4, and Starfield Services Root CA G2. */
const AMAZON_TLS_ROOTS: readonly string[] = [
  "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
  "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
  "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
  "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
  "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
];

/**
 * The roots of an image for EC2.
 *
 * @throws {EifError} `ERR_EIF_INPUT` this Node does not carry one of them
 */
export function nitroRoots(carried: readonly string[] = rootCertificates): Roots {
  const known = new Map(carried.map((pem) => [sha256(new X509Certificate(pem).raw), pem] as const));
  const tlsRoots = AMAZON_TLS_ROOTS.map((pin) => {
    const pem = known.get(pin);
    if (pem === undefined) {
      throw new EifError("ERR_EIF_INPUT", { input: `TLS root ${pin}`, rule: "is among those that Node carries" });
    }
    return new X509Certificate(pem).toString();
  });
  return { attestationRoots: [AWS_NITRO_ROOT_G1], tlsRoots };
}

/**
 * Reads `{"attestationRoots": [base64 of DER], "tlsRoots": [PEM]}`, one of each at least.
 *
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function parseRoots(bytes: Uint8Array, label: string): Roots {
  const value = parseRecord(bytes, label);
  const refuse = (rule: string, cause?: unknown): never => {
    throw new EifError("ERR_EIF_INPUT", { input: label, rule }, { cause });
  };
  const { attestationRoots, tlsRoots, ...rest } = value;
  if (!isRecord(value) || Object.keys(rest).length > 0) refuse("has attestationRoots and tlsRoots, nothing else");
  const texts = (list: unknown): readonly string[] =>
    Array.isArray(list) && list.length > 0 && list.every((item) => typeof item === "string")
      ? (list as string[])
      : refuse("has lists of certificates as text, one in each at least");
  const certificate = (input: Uint8Array | string): X509Certificate => {
    try {
      return new X509Certificate(input);
    } catch (cause) {
      return refuse("has nothing but certificates", cause);
    }
  };
  return {
    // Written again from what was read: one certificate, whatever stood around it.
    attestationRoots: texts(attestationRoots).map(
      (item) => new Uint8Array(certificate(Buffer.from(item, "base64")).raw),
    ),
    tlsRoots: texts(tlsRoots).map((item) => certificate(item).toString()),
  };
}
